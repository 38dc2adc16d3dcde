"""The installation builds pinned tools, takes fit ones from PATH and does nothing twice."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from lab import paths
from lab.tools import hosts, install, on_path, stamps
from lab.tools.catalog import Executable, Tool, catalog, parse_version
from lab.tools.errors import InstallError
from lab.tools.progress import duration

Script = Callable[[Path, str], None]


@pytest.fixture
def script() -> Script:
    def write(file: Path, body: str) -> None:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"#!/bin/sh\n{body}\n")
        file.chmod(0o755)

    return write


@pytest.fixture
def lab_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The places of an installation, in a directory of the test."""
    for name in ("BIN", "LOG", "STAMPS"):
        monkeypatch.setattr(paths, name, tmp_path / "lab" / name.lower())
    monkeypatch.setattr(paths, "LAB", tmp_path / "lab")
    monkeypatch.setattr(paths, "ROOT", tmp_path)
    paths.BIN.mkdir(parents=True)
    return tmp_path


@pytest.fixture
def tool(lab_dir: Path, monkeypatch: pytest.MonkeyPatch) -> Tool:
    """A tool that yields one executable, and nothing else to install."""
    module = lab_dir / "module"
    module.mkdir()
    (module / "go.mod").write_text("module example\n")
    (module / "go.sum").write_text("")
    executable = Executable(
        package="example/cmd/thing",
        file=paths.BIN / "thing",
        version_arguments=("--version",),
        fits=lambda found: found[:2] == (1, 2),
        beside=("companion",),
    )
    made = Tool(name="thing", module=module, executables=[executable], version="v1.2.3")
    monkeypatch.setattr(install, "catalog", lambda: [made])
    return made


GO = """
[ "$1" = version ] && { echo go version go1.26.1 linux/amd64; exit; }
while [ "$1" != -o ]; do shift; done
echo built >> "$TEST_BUILDS"
echo product > "$2/thing"
"""


@pytest.fixture
def builds(lab_dir: Path, script: Script, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A Go that only counts builds; returns the file with a line for each."""
    script(lab_dir / "go-bin" / "go", GO)
    counted = lab_dir / "builds"
    counted.touch()
    monkeypatch.setenv("TEST_BUILDS", str(counted))
    monkeypatch.setenv("PATH", f"{lab_dir / 'go-bin'}:{os.defpath}")
    return counted


@pytest.mark.parametrize(
    ("text", "version"),
    [
        ("v3.250.0", (3, 250, 0)),
        ("Kubernetes v1.35.4\n", (1, 35, 4)),
        ("etcd Version: 3.6.4\nGit SHA: Not provided\n", (3, 6, 4)),
        ("v3.19.5+gabcdef0", (3, 19, 5)),
        ("Client Version: v1.32.4-dispatcher\nKustomize Version: v5.5.0", None),
        ("v1.14.0-alpha.1", None),
        ("no version here", None),
    ],
)
def test_a_release_is_read_from_what_tools_print(
    text: str, version: tuple[int, int, int] | None
) -> None:
    assert parse_version(text) == version


def test_every_tool_is_pinned_with_its_checksums() -> None:
    pinned = [tool for tool in catalog() if not tool.own]

    assert {tool.name for tool in pinned} == {
        path.parent.name for path in (paths.ROOT / "lab/tools").glob("*/go.mod")
    }
    for tool in pinned:
        assert tool.version.startswith("v")
        assert (tool.module / "go.sum").stat().st_size > 0
        declared = (tool.module / "go.mod").read_text()
        for executable in tool.executables:
            assert executable.package in declared


def test_a_tool_is_built_once(tool: Tool, builds: Path) -> None:
    install.install({"thing"})
    install.install({"thing"})

    assert builds.read_text() == "built\n"
    assert (paths.BIN / "thing").read_text() == "product\n"


def test_a_changed_pin_builds_again(tool: Tool, builds: Path) -> None:
    install.install({"thing"})
    (tool.module / "go.sum").write_text("changed")
    install.install({"thing"})

    assert builds.read_text() == "built\nbuilt\n"


def test_a_fit_tool_on_path_is_taken(
    tool: Tool, builds: Path, script: Script, lab_dir: Path
) -> None:
    script(lab_dir / "go-bin" / "thing", "echo thing v1.2.9")
    script(lab_dir / "go-bin" / "companion", "")

    install.install({"thing"})

    assert (paths.BIN / "thing").resolve() == lab_dir / "go-bin" / "thing"
    assert builds.read_text() == ""


def test_a_tool_of_another_version_is_not_taken(
    tool: Tool, script: Script, lab_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script(lab_dir / "other" / "thing", "echo thing v1.3.0")
    script(lab_dir / "other" / "companion", "")
    monkeypatch.setenv("PATH", f"{lab_dir / 'other'}:{os.defpath}")

    assert on_path.find(tool.executables[0]) is None


def test_a_tool_without_its_companion_is_not_taken(
    tool: Tool, script: Script, lab_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script(lab_dir / "other" / "thing", "echo thing v1.2.3")
    monkeypatch.setenv("PATH", f"{lab_dir / 'other'}:{os.defpath}")

    assert on_path.find(tool.executables[0]) is None


def test_a_failed_build_tells_the_reason_and_the_log(
    tool: Tool, builds: Path, script: Script, lab_dir: Path
) -> None:
    broken = "echo '# example/cmd/thing'; echo 'main.go:3:1: syntax error'; exit 1"
    script(
        lab_dir / "go-bin" / "go",
        f'[ "$1" = version ] && {{ echo go version go1.26.1 linux/amd64; exit; }}\n{broken}',
    )

    with pytest.raises(
        InstallError, match=r"main\.go:3:1: syntax error \(see lab/log/thing\.log\)"
    ):
        install.install({"thing"})
    assert not (paths.BIN / "thing").exists()


@pytest.mark.parametrize(
    ("go", "problem"),
    [(None, "there is no Go on PATH"), ("go1.22.4", "needs Go 1.26, found go version go1.22.4")],
)
def test_a_missing_or_old_go_is_named_with_the_way_out(
    tool: Tool,
    script: Script,
    lab_dir: Path,
    monkeypatch: pytest.MonkeyPatch,
    go: str | None,
    problem: str,
) -> None:
    if go:
        script(lab_dir / "old" / "go", f"echo go version {go} linux/amd64")
    monkeypatch.setenv("PATH", f"{lab_dir / 'old'}:/nonexistent")

    with pytest.raises(InstallError, match=f"{problem}.*install Go 1.26 or newer"):
        install.install({"thing"})


def test_sources_count_without_their_tests(tmp_path: Path) -> None:
    (tmp_path / "main.go").write_text("package main")
    before = stamps.source_digest(tmp_path)

    (tmp_path / "main_test.go").write_text("package main")
    assert stamps.source_digest(tmp_path) == before
    (tmp_path / "embedded.yaml").write_text("a: 1")
    assert stamps.source_digest(tmp_path) != before


def test_the_language_host_gives_way_to_the_one_of_a_linked_pulumi(lab_dir: Path) -> None:
    (paths.BIN / "pulumi").touch()
    hosts.install()
    assert os.access(paths.BIN / "pulumi-language-python", os.X_OK)

    (paths.BIN / "pulumi").unlink()
    (paths.BIN / "pulumi").symlink_to("/usr/bin/true")
    hosts.install()
    assert not (paths.BIN / "pulumi-language-python").exists()


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.44, "0.4 s"), (12.4, "12 s"), (125, "2:05 min"), (59.9, "60 s")]
)
def test_durations_read_as_people_write_them(seconds: float, text: str) -> None:
    assert duration(seconds) == text
