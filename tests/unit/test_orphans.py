"""Plugins that outlived their engine."""

import socket
import subprocess
import sys
from collections.abc import Iterator

import pytest

from oxide_components import orphans
from oxide_components.orphans import Plugin, end_orphans, plugins

LISTING = """\
    7 /usr/bin/bash
  101 /home/me/.pulumi/plugins/resource-hcloud-v1.43.3/pulumi-resource-hcloud 127.0.0.1:40001
  102 /project/.venv/bin/python -u -m pulumi.dynamic 127.0.0.1:40001
  103 vim pulumi-resource-hcloud.md
  104 grep pulumi-resource-hcloud
"""


def test_plugins_are_told_by_name_and_engine() -> None:
    assert plugins(LISTING) == [
        Plugin(101, "pulumi-resource-hcloud", ("127.0.0.1", 40001)),
        Plugin(102, "pulumi.dynamic", ("127.0.0.1", 40001)),
    ]


@pytest.fixture
def plugin() -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    yield process
    process.kill()
    process.wait()


def test_a_long_path_does_not_hide_a_plugin(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    long = "x" * 400
    with subprocess.Popen(
        [sys.executable, "-c", "print(flush=True); input()", long],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        # Only then does it run: a process that is just being started shows no command yet.
        process.stdout.readline()
        assert long in orphans._processes()
        process.communicate(b"\n")


def _listing(plugin: subprocess.Popen[bytes], port: int) -> str:
    return f"{plugin.pid} pulumi-resource-hcloud 127.0.0.1:{port}\n"


def test_a_plugin_of_a_living_engine_is_left_alone(
    plugin: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as engine:
        listing = _listing(plugin, engine.getsockname()[1])
        monkeypatch.setattr(orphans, "_processes", lambda: listing)

        assert end_orphans() == []
        assert plugin.poll() is None


def test_a_plugin_whose_engine_is_gone_is_ended(
    plugin: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as engine:
        port = engine.getsockname()[1]
    monkeypatch.setattr(orphans, "GRACE", 0.2)
    monkeypatch.setattr(orphans, "_processes", lambda: _listing(plugin, port))

    assert end_orphans() == [f"pulumi-resource-hcloud (pid {plugin.pid})"]
    assert plugin.wait(timeout=5) != 0
