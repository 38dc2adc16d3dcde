"""The language host reads a project's options and reports what its packages need."""

import base64
import subprocess
import sys
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf import empty_pb2
from pulumi.runtime.proto import language_pb2, language_pb2_grpc

from lab import paths
from lab.host.environment import EnvironmentProblem, PythonEnvironment
from lab.host.packages import required_packages


def entry(name: str, version: str = "1.0.0", plugin: Any = None) -> dict[str, Any]:
    return {"name": name, "version": version, "plugin": plugin}


@pytest.mark.parametrize(
    ("package", "dependency"),
    [
        (
            entry("pulumiverse_talos", "0.8.1", {"resource": True, "name": "talos", "server": "s"}),
            ("talos", "v0.8.1", "s"),
        ),
        (
            entry("x", "2.0", {"resource": True, "name": "y", "version": "1.2.3"}),
            ("y", "v1.2.3", ""),
        ),
        (entry("pulumi-old", "2.1"), ("old", "v2.1.0", "")),
        (entry("pulumi-policy"), None),
        (entry("pulumi-sdk", plugin={"resource": False}), None),
        (entry("pulumi-alpha", "1.0.0a5"), None),
        (entry("requests"), None),
    ],
)
def test_packages_become_plugin_dependencies(
    package: dict[str, Any], dependency: tuple[str, str, str] | None
) -> None:
    found = [(one.name, one.version, one.server) for one in required_packages([package])]

    assert found == ([dependency] if dependency else [])


def test_a_parameterized_package_keeps_its_parameter() -> None:
    parameter = {"name": "n", "version": "1.0.0", "value": base64.b64encode(b"v").decode()}
    plugin = {"resource": True, "name": "base", "version": "2.0.0", "parameterization": parameter}

    (found,) = required_packages([entry("n", plugin=plugin)])

    assert (found.parameterization.name, found.parameterization.value) == ("n", b"v")


def test_the_virtualenv_is_relative_to_the_project(tmp_path: Path) -> None:
    environment = PythonEnvironment.of(str(tmp_path), {"virtualenv": ".venv"})

    assert environment.python == str(tmp_path / ".venv" / "bin" / "python")
    assert environment.activated()["PATH"].startswith(f"{tmp_path}/.venv/bin:")


def test_a_missing_virtualenv_is_named_with_the_way_out(tmp_path: Path) -> None:
    with pytest.raises(EnvironmentProblem, match=r"does not exist\.\nCreate it: python3 -m venv"):
        PythonEnvironment.of(str(tmp_path), {"virtualenv": "v"}).validate()


def test_another_toolchain_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(EnvironmentProblem, match="toolchain: poetry is not served"):
        PythonEnvironment.of(str(tmp_path), {"toolchain": "poetry"})


def test_plugins_have_a_virtualenv_of_their_own_by_default(tmp_path: Path) -> None:
    assert PythonEnvironment.of(str(tmp_path), {}, plugin=True).virtualenv == tmp_path / "venv"


def test_the_host_serves_the_engines_protocol() -> None:
    info = language_pb2.ProgramInfo(root_directory=str(paths.ROOT), program_directory=".")
    info.options.update({"virtualenv": sys.prefix})
    with subprocess.Popen(
        [sys.executable, "-u", str(paths.ROOT / "lab/host/language.py")],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as host:
        assert host.stdout is not None
        with grpc.insecure_channel(f"127.0.0.1:{host.stdout.readline().strip()}") as channel:
            runtime = language_pb2_grpc.LanguageRuntimeStub(channel)
            assert runtime.GetPluginInfo(empty_pb2.Empty()).version
            about = runtime.About(language_pb2.AboutRequest(info=info))
            required = runtime.GetRequiredPackages(
                language_pb2.GetRequiredPackagesRequest(info=info)
            )
            with pytest.raises(grpc.RpcError) as refused:
                runtime.Pack(language_pb2.PackRequest())
        host.terminate()
        _, err = host.communicate(timeout=20)

    assert about.version == ".".join(map(str, sys.version_info[:3]))
    assert {"hcloud", "talos", "kubernetes"} <= {one.name for one in required.packages}
    assert refused.value.code() is grpc.StatusCode.UNIMPLEMENTED
    assert (host.returncode, err) == (0, "")
