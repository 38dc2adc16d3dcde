"""The restore drill, with the commands of docs/operations.md as they stand there. The tests build on each other."""

import base64
import json
import shlex
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from .availability import NAME as APPLICATION
from .availability import deployment
from .stacks import TRACEBACK, Stack

OPERATIONS = Path(__file__).parents[2] / "docs" / "operations.md"
CONTROL_PLANES = {"restore-cp-1", "restore-cp-2", "restore-cp-3"}
WORKER = "restore-worker-1"
SNAPSHOT = "./etcd.db"


@dataclass(frozen=True)
class Seen:
    """What tells a node from another one, and a cluster from another one."""

    servers: dict[str, int]
    """Ids at Hetzner."""
    boots: dict[str, str]
    """What the kubelets report."""
    secrets: object
    """Machine secrets with all certificate authorities."""


@pytest.fixture(scope="module")
def restore(new_stack: Callable[..., Stack]) -> Iterator[Stack]:
    """A protected cluster with objects, its snapshot, and an object that is newer than that."""
    stack = new_stack("restore", controlPlanes="3", workers="1", deletionProtection="true")
    stack.up()
    stack.kubectl("create", "configmap", "kept", "--from-literal=text=before")
    stack.kubectl("create", "secret", "generic", "kept", "--from-literal=text=before")
    stack.apply(deployment(2))
    _wait_for_application(stack)
    (((*command, file),),) = _documented("Snapshots and restore")
    _run(stack, [*command, str(stack.project / file)])
    stack.kubectl("create", "configmap", "lost", "--from-literal=text=after")
    yield stack
    stack.discard()


@pytest.fixture(scope="module")
def before(restore: Stack) -> Seen:
    """The cluster before it lost anything."""
    return _seen(restore)


def test_a_damaged_snapshot_is_refused_before_anything_is_touched(
    restore: Stack, before: Seen
) -> None:
    damaged = bytearray((restore.project / SNAPSHOT).read_bytes())
    damaged[len(damaged) // 2] ^= 1
    (restore.project / "damaged.db").write_bytes(damaged)
    restore.set("restoreFrom", "./damaged.db")
    run = restore.run("up", "--yes")

    assert run.code != 0
    assert "oxide:restoreFrom: ./damaged.db is damaged: its checksum differs; " in run.text
    assert "talosctl etcd snapshot" in run.text
    assert TRACEBACK not in run.text
    assert _seen(restore) == before


def test_a_living_cluster_stays_as_it_is_whatever_restore_from_names(
    restore: Stack, before: Seen
) -> None:
    restore.set("restoreFrom", SNAPSHOT)
    run = restore.up()

    assert "nothing was restored by this run, because restore-cp-1 holds data of etcd" in run.text
    assert "pulumi config rm restoreFrom" in run.text
    assert "lost" in _config_maps(restore)
    assert _seen(restore) == before
    restore.unset("restoreFrom")
    assert restore.up().changes == {}


def test_control_planes_that_are_gone_are_not_made_anew_without_a_snapshot(restore: Stack) -> None:
    for server in restore.cloud.servers.get_all(label_selector="cluster=restore"):
        if server.name in CONTROL_PLANES:
            server.delete()
    refresh = _restoring("All control planes are lost")[1]
    _run(restore, refresh)
    run = restore.run("up", "--yes")

    assert run.code != 0
    assert "Name a snapshot of etcd in restoreFrom" in run.text
    assert TRACEBACK not in run.text
    assert set(_servers(restore)) == {WORKER}


def test_control_planes_that_are_gone_come_back_with_the_objects_of_the_snapshot(
    restore: Stack, before: Seen
) -> None:
    *commands, cleanup = _restoring("All control planes are lost")
    said = "".join(_run(restore, command) for command in commands)

    assert "etcd was restored from ./etcd.db" in said
    assert sorted(restore.agreed()) == sorted([*CONTROL_PLANES, WORKER])
    now = _seen(restore)
    assert {name for name, id_ in now.servers.items() if id_ != before.servers[name]} == (
        CONTROL_PLANES
    )
    assert _rebooted(now, before) == CONTROL_PLANES
    assert now.secrets == before.secrets
    _assert_restored(restore)
    _assert_finished(restore, cleanup)


def test_wiped_control_planes_get_the_objects_of_the_snapshot_and_keep_their_servers(
    restore: Stack,
) -> None:
    restore.kubectl("create", "configmap", "lost", "--from-literal=text=after")
    before = _seen(restore)
    *commands, cleanup = _restoring("The control planes run, etcd is lost")
    said = "".join(_run(restore, command) for command in commands)

    assert "etcd was restored from ./etcd.db" in said
    deadline = time.monotonic() + 120
    # Nothing of this run waits for the kubelets: the nodes are no others than before.
    while _rebooted(_seen(restore), before) != CONTROL_PLANES and time.monotonic() < deadline:
        time.sleep(1)
    restore.kubectl("wait", "--for=condition=Ready", "nodes", "--all", "--timeout=60s")
    assert sorted(restore.agreed()) == sorted([*CONTROL_PLANES, WORKER])
    now = _seen(restore)
    assert _rebooted(now, before) == CONTROL_PLANES
    assert (now.servers, now.secrets) == (before.servers, before.secrets)
    _assert_restored(restore)
    _assert_finished(restore, cleanup)


def test_what_watches_the_cluster_starts_anew_with_the_documented_commands(restore: Stack) -> None:
    before = _seen(restore)
    (commands,) = _documented("After a restore")
    for command in commands:
        _run(restore, command)

    restore.kubectl("-n", "kube-system", "rollout", "status", "daemonset/cilium", "--timeout=90s")
    assert _seen(restore) == before


def _documented(heading: str) -> list[list[list[str]]]:
    """Blocks of commands below a heading, each split into its words."""
    (section,) = (
        text.partition("\n")[2]
        for text in OPERATIONS.read_text().replace("\n### ", "\n## ").split("\n## ")
        if text.partition("\n")[0] == heading
    )
    blocks: list[list[list[str]]] = [[]]
    for line in section.splitlines():
        if line.startswith("    "):
            blocks[-1].append(shlex.split(line))
        elif line.strip() and blocks[-1]:
            blocks.append([])
    return [block for block in blocks if block]


def _restoring(heading: str) -> list[list[str]]:
    """The commands of one way to restore; what comes before the last one restores, the last one cleans up."""
    (commands,) = _documented(heading)
    assert commands[0] == ["pulumi", "config", "set", "restoreFrom", SNAPSHOT]
    assert commands[-2:] == [["pulumi", "up"], ["pulumi", "config", "rm", "restoreFrom"]]
    return commands


def _run(stack: Stack, command: list[str]) -> str:
    """Run a documented command as an operator does who answers yes."""
    tool, *arguments = command
    if tool != "pulumi":
        return str(getattr(stack, tool)(*arguments))
    yes = ["--yes"] if arguments[0] in ("up", "refresh") else []
    return stack.ok(*arguments, *yes).text


def _seen(stack: Stack) -> Seen:
    resources = json.loads(stack.state(plain=True))["deployment"]["resources"]
    (secrets,) = (r for r in resources if r["type"] == "talos:machine/secrets:Secrets")
    return Seen(
        servers=_servers(stack),
        boots={name: node["status"]["nodeInfo"]["bootID"] for name, node in stack.nodes().items()},
        secrets=secrets["outputs"]["machineSecrets"],
    )


def _servers(stack: Stack) -> dict[str, int]:
    found = stack.cloud.servers.get_all(label_selector="cluster=restore")
    return {server.name: server.id for server in found}


def _rebooted(now: Seen, before: Seen) -> set[str]:
    return {name for name, boot in now.boots.items() if boot != before.boots[name]}


def _config_maps(stack: Stack) -> dict[str, Any]:
    items = json.loads(stack.kubectl("get", "configmaps", "-o", "json"))["items"]
    return {item["metadata"]["name"]: item.get("data") for item in items}


def _wait_for_application(stack: Stack) -> None:
    stack.kubectl("rollout", "status", f"deployment/{APPLICATION}", "--timeout=90s")


def _assert_restored(stack: Stack) -> None:
    found = _config_maps(stack)
    assert found["kept"] == {"text": "before"}
    assert "lost" not in found
    secret = json.loads(stack.kubectl("get", "secret", "kept", "-o", "json"))["data"]
    assert base64.b64decode(secret["text"]) == b"before"
    # New pods, because recorded ones would look the same in a cluster in which nothing runs.
    stack.kubectl("rollout", "restart", f"deployment/{APPLICATION}")
    _wait_for_application(stack)


def _assert_finished(stack: Stack, cleanup: list[str]) -> None:
    _run(stack, cleanup)
    assert stack.up().changes == {}
