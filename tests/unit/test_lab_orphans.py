"""Orphaned helpers of a killed engine are ended; what people run is left alone."""

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from lab import orphans, procfs


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "pulumi-home"


@contextmanager
def running(name: str, home: Path, under: str = "") -> Iterator[subprocess.Popen[bytes]]:
    """Runs something that is called `name`, below a parent that is called `under`."""
    program = f"exec -a {name} {shutil.which('sleep')} 60"
    command = ["bash", "-c", program]
    if under:
        # A shell called `under` that waits for its child.
        (home.parent / under).symlink_to("/bin/sh")
        command = [str(home.parent / under), "-c", f"bash -c '{program}'; :"]
    env = {**os.environ, "PULUMI_HOME": str(home)}
    with subprocess.Popen(command, env=env, start_new_session=True) as process:
        try:
            yield process
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


def found(home: Path) -> set[str]:
    return {Path(process.command[0]).name for process in orphans.find(home)}


def wait_for(name: str, home: Path) -> None:
    """Waits until the shell has become the program."""
    for _ in range(2000):
        if any(
            one.command and Path(one.command[0]).name == name
            for one in procfs.everything()
            if one.environment.get("PULUMI_HOME") == str(home)
        ):
            return
        time.sleep(0.01)
    raise AssertionError(f"{name} did not start")


def test_a_plugin_without_an_engine_is_ended(home: Path) -> None:
    with running("pulumi-resource-hcloud", home) as plugin:
        wait_for("pulumi-resource-hcloud", home)

        assert orphans.end(home) == [f"pulumi-resource-hcloud (pid {plugin.pid})"]
        assert plugin.wait(5) != 0


def test_a_plugin_of_a_living_engine_is_left_alone(home: Path) -> None:
    with running("pulumi-resource-hcloud", home, under="pulumi"):
        wait_for("pulumi-resource-hcloud", home)

        assert found(home) == set()


def test_a_plugin_of_another_instance_is_left_alone(home: Path, tmp_path: Path) -> None:
    with running("pulumi-resource-hcloud", home):
        wait_for("pulumi-resource-hcloud", home)

        assert found(tmp_path / "other") == set()


def test_a_talosctl_below_an_orphaned_plugin_is_ended(home: Path) -> None:
    with running("talosctl", home, under="pulumi-resource-talos"):
        wait_for("talosctl", home)

        assert found(home) == {"talosctl", "pulumi-resource-talos"}


def test_a_talosctl_in_a_persons_shell_is_left_alone(home: Path) -> None:
    with running("talosctl", home):
        wait_for("talosctl", home)

        assert found(home) == set()
