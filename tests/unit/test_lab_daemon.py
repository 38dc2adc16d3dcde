"""Daemons start, answer, end with all they started, and are never mistaken for others."""

import json
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from lab import daemon as module
from lab import procfs
from lab.daemon import Daemon
from lab.errors import LabError


@pytest.fixture
def port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        number: int = probe.getsockname()[1]
    return number


def make(tmp_path: Path, port: int, *command: str) -> Daemon:
    serve = (sys.executable, "-m", "http.server", "--bind", "127.0.0.1", str(port))
    return Daemon(
        name="example",
        command=list(command or serve),
        health=f"http://127.0.0.1:{port}/",
        directory=tmp_path / "log",
        cwd=tmp_path,
    )


def test_a_daemon_is_started_once_and_stopped(tmp_path: Path, port: int) -> None:
    daemon = make(tmp_path, port)
    daemon.start()
    first = daemon.running()
    daemon.start()
    try:
        assert first is not None
        assert daemon.running() == first
        assert first.session == first.pid
    finally:
        stopped = daemon.stop()

    assert stopped
    assert daemon.running() is None
    assert not daemon.stop()


def test_a_daemon_that_ends_at_once_shows_its_log(tmp_path: Path, port: int) -> None:
    daemon = make(tmp_path, port, "/bin/sh", "-c", "echo address already in use; exit 1")

    with pytest.raises(LabError, match=r"example ended at its start:\n  address already in use"):
        daemon.start()


def test_a_daemon_that_does_not_answer_is_named(
    tmp_path: Path, port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "START_SECONDS", 0.2)
    daemon = make(tmp_path, port, "sleep", "60")
    try:
        with pytest.raises(LabError, match="example does not answer at http"):
            daemon.start()
    finally:
        daemon.stop()


def test_a_missing_program_names_make_install(tmp_path: Path, port: int) -> None:
    with pytest.raises(LabError, match=r"No such file or directory: /nonexistent \(make install"):
        make(tmp_path, port, "/nonexistent").start()


def test_a_recycled_pid_is_left_alone(tmp_path: Path, port: int) -> None:
    daemon = make(tmp_path, port)
    with subprocess.Popen(["sleep", "60"]) as stranger:
        daemon.directory.mkdir()
        noted = {"pid": stranger.pid, "started": "1@another-boot"}
        (daemon.directory / "example.pid").write_text(json.dumps(noted))

        assert daemon.running() is None
        assert not daemon.stop()
        assert stranger.poll() is None
        stranger.kill()


def test_what_a_daemon_started_ends_with_it(
    tmp_path: Path, port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "STOP_SECONDS", 0.5)
    deaf = f"trap '' TERM; sleep 60 & echo $! > child; exec {sys.executable} -m http.server {port}"
    daemon = make(tmp_path, port, "/bin/sh", "-c", f"{deaf} --bind 127.0.0.1")
    daemon.start()

    daemon.stop()

    child = int((tmp_path / "child").read_text())
    # The kernel takes a moment to bury what was killed.
    deadline = time.monotonic() + 5
    while procfs.look(child) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert procfs.look(child) is None
