"""The real engine runs Python programs and dynamic resources through the lab's language host."""

import os
import signal
import subprocess
import textwrap
import time
from collections.abc import Callable
from typing import Any

import pytest

from lab import paths, procfs

pytestmark = pytest.mark.skipif(
    not (paths.BIN / "pulumi-language-python").exists(), reason="make install has not been run"
)

PROGRAM = """
import os, signal, sys, time
signal.signal(signal.SIGINT, lambda *_: os._exit(32))
import pulumi
from things import Thing
config = pulumi.Config()
if config.get("wrong"):
    pulumi.log.error("size: 'x' is not a number")
    sys.exit(32)
for i in range(config.require_int("count")):
    Thing(f"thing-{i}", float(config.get("seconds") or 0))
pulumi.export("count", config.require_int("count"))
"""

THINGS = """
import time
from pulumi.dynamic import CreateResult, Resource, ResourceProvider
class Provider(ResourceProvider):
    def create(self, props):
        time.sleep(props["seconds"])
        return CreateResult("id", props)
class Thing(Resource):
    def __init__(self, name, seconds):
        super().__init__(Provider(), name, {"seconds": seconds})
"""

Pulumi = Callable[..., Any]


@pytest.fixture(scope="module")
def env(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("toy")
    project = folder / "project"
    project.mkdir()
    options = f"{{toolchain: pip, virtualenv: {paths.VENV}}}"
    (project / "Pulumi.yaml").write_text(
        f"name: toy\nruntime: {{name: python, options: {options}}}\n"
    )
    (project / "__main__.py").write_text(textwrap.dedent(PROGRAM))
    (project / "things.py").write_text(textwrap.dedent(THINGS))
    (folder / "state").mkdir()
    return {
        **os.environ,
        "PATH": f"{paths.BIN}:{os.environ['PATH']}",
        "PWD": str(project),
        "PULUMI_HOME": str(folder / "home"),
        "PULUMI_BACKEND_URL": f"file://{folder / 'state'}",
        "PULUMI_CONFIG_PASSPHRASE": "toy",
        "PULUMI_SKIP_UPDATE_CHECK": "true",
    }


@pytest.fixture
def pulumi(env: dict[str, str]) -> Pulumi:
    def run(*arguments: str, background: bool = False) -> Any:
        command = ["pulumi", "--non-interactive", *arguments]
        options: dict[str, Any] = {"env": env, "cwd": env["PWD"], "text": True}
        if background:
            return subprocess.Popen(
                command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, **options
            )
        return subprocess.run(command, capture_output=True, check=False, **options)

    return run


@pytest.fixture
def stack(pulumi: Pulumi, request: pytest.FixtureRequest) -> str:
    name = request.node.name.replace("_", "-")
    assert pulumi("stack", "init", name).returncode == 0
    assert pulumi("config", "set", "count", "1").returncode == 0
    return str(name)


def up(pulumi: Pulumi) -> Any:
    return pulumi("up", "--yes", "--skip-preview")


def helpers(env: dict[str, str]) -> list[str]:
    """Command lines of the engine's children: hosts, programs, plugins."""
    return [
        " ".join(process.command)
        for process in procfs.everything()
        if process.environment.get("PULUMI_HOME") == env["PULUMI_HOME"]
        and "python" in process.executable
    ]


def wait_until(condition: Callable[[], bool], seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.1)
    return False


def test_a_program_with_dynamic_resources_lives_a_whole_life(pulumi: Pulumi, stack: str) -> None:
    first = up(pulumi)
    pulumi("config", "set", "count", "3")
    second = up(pulumi)
    output = pulumi("stack", "output", "count")
    destroyed = pulumi("destroy", "--yes", "--skip-preview")

    assert first.returncode == 0, first.stdout
    assert "+ 2 created" in second.stdout
    assert output.stdout == "3\n"
    assert "- 4 deleted" in destroyed.stdout
    assert "warning" not in (first.stdout + first.stderr).lower()


def test_an_error_that_the_program_has_shown_stands_alone(pulumi: Pulumi, stack: str) -> None:
    pulumi("config", "set", "wrong", "yes")

    result = up(pulumi)

    assert result.returncode != 0
    diagnostics = result.stdout.partition("Diagnostics:")[2].partition("Resources:")[0]
    assert diagnostics.count("error:") == 1
    assert "error: size: 'x' is not a number" in diagnostics
    assert "Traceback" not in result.stdout + result.stderr


def test_an_interrupted_run_ends_without_traceback(
    pulumi: Pulumi, stack: str, env: dict[str, str]
) -> None:
    pulumi("config", "set", "seconds", "2")
    with pulumi("up", "--yes", "--skip-preview", background=True) as engine:
        assert wait_until(lambda: any("dynamic.py" in one for one in helpers(env)), 30)
        engine.send_signal(signal.SIGINT)
        output, _ = engine.communicate(timeout=30)

    assert engine.returncode != 0
    assert "Traceback" not in output
    assert wait_until(lambda: helpers(env) == [], 5)


def test_nothing_outlives_a_killed_engine(pulumi: Pulumi, stack: str, env: dict[str, str]) -> None:
    pulumi("config", "set", "seconds", "60")
    with pulumi("up", "--yes", "--skip-preview", background=True) as engine:
        assert wait_until(lambda: any("dynamic.py" in one for one in helpers(env)), 30)
        engine.kill()

        assert wait_until(lambda: helpers(env) == [], 5), helpers(env)
        engine.communicate()
