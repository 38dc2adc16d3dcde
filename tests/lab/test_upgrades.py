"""Upgrades of a living cluster as changed settings: paused, canaries first, back and on. The tests build on each other."""

import json
from collections.abc import Callable, Iterator

import pytest
import yaml

from tests.object_storage import ACCESS_KEY, REGION, SECRET_KEY, ObjectStorage, object_storage

from . import node_events
from .availability import run_application, watched
from .stacks import TRACEBACK, Stack
from .versions_seen import (
    assert_one_at_a_time,
    cordoned,
    rebooted,
    recorded,
    running,
    said,
    touched,
)

BUDGET = 2
CONTROL_PLANES = ["up-cp-1", "up-cp-2", "up-cp-3"]
WORKERS = ["up-worker-1", "up-worker-2", "up-worker-3"]
NODES = [*CONTROL_PLANES, *WORKERS]
CANARY = "up-worker-2"


@pytest.fixture(scope="module")
def storage() -> Iterator[ObjectStorage]:
    """An object storage with a bucket."""
    with object_storage("backups") as server:
        yield server


@pytest.fixture(scope="module")
def up(new_stack: Callable[..., Stack]) -> Iterator[Stack]:
    """Three control planes and three workers with an older Kubernetes, and an application that has a budget for disruptions."""
    stack = new_stack(
        "up", controlPlanes="3", workers="3", kubernetesVersion="1.34.4", nodeTimeout="300"
    )
    stack.up()
    run_application(stack, replicas=BUDGET + 1, budget=BUDGET)
    yield stack
    stack.discard()


@pytest.mark.parametrize(
    ("key", "value", "way"),
    [
        ("kubernetesVersion", "1.33.9", "cannot go back to 1.33.9"),
        ("kubernetesVersion", "1.29.1", "1.29"),
        ("talosVersion", "v1.9.0", "v1.9.0"),
    ],
)
def test_a_step_that_cannot_be_taken_is_refused_in_the_preview(
    up: Stack, key: str, value: str, way: str
) -> None:
    before = up.ok("config", "get", key).text.strip() if key == "kubernetesVersion" else None
    up.set(key, value)
    try:
        run = up.run("preview")
    finally:
        up.set(key, before) if before else up.unset(key)

    assert run.code != 0
    assert way in run.text
    assert TRACEBACK not in run.text


def test_a_pause_lets_every_upgrade_wait(up: Stack) -> None:
    up.set("talosVersion", "v1.13.8")
    up.set("kubernetesVersion", "1.35.4")
    up.set("upgradePause", "true")
    before = node_events.last_order(up.lab)
    text = up.up().text

    for name in NODES:
        assert (
            said(text, f"node-{name}")
            == "waits (upgradePause): v1.13.9 -> v1.13.8, drains, reboots"
        )
    assert said(text, "kubernetes-version").startswith("waits (upgradePause): 1.34.4 -> 1.35.4")
    assert rebooted(up, before) == []
    assert recorded(up) == running(up) == dict.fromkeys(NODES, "v1.13.9")
    assert _kubelets(up) == {"v1.34.4"}


def test_canaries_move_and_the_others_wait(up: Stack) -> None:
    up.unset("upgradePause")
    up.set("upgradeCanary[0]", CANARY)
    text = up.ok("preview").text
    assert said(text, f"node-{CANARY}") == "v1.13.9 -> v1.13.8, drains, reboots"
    for name in NODES:
        if name != CANARY:
            assert said(text, f"node-{name}").startswith("waits (upgradeCanary): v1.13.9 -> v1.13")

    before = node_events.last_order(up.lab)
    up.up()

    assert touched(up, before) == {CANARY}
    assert_one_at_a_time(up, [CANARY], before)
    assert recorded(up) == running(up) == {**dict.fromkeys(NODES, "v1.13.9"), CANARY: "v1.13.8"}
    assert cordoned(up) == []
    assert up.up().changes == {}


def test_no_control_plane_is_touched_without_a_snapshot_in_the_bucket(
    up: Stack, storage: ObjectStorage
) -> None:
    settings = {"endpoint": storage.endpoint, "bucket": "lost", "region": REGION}
    for key, value in {**settings, "accessKey": ACCESS_KEY}.items():
        up.ok("config", "set", "--path", f"etcdSnapshotBucket.{key}", value)
    up.ok("config", "set", "--path", "etcdSnapshotBucket.secretKey", "--secret", SECRET_KEY)
    up.set("upgradeCanary[1]", "worker")
    up.set("upgradeCanary[2]", "cp")
    before = node_events.last_order(up.lab)
    run = up.run("up", "--yes", "--skip-preview")

    assert run.code != 0
    assert "s3://lost/up-" in run.text
    assert "NoSuchBucket" in run.text
    assert "without it no upgrade" in run.text
    assert SECRET_KEY not in run.text
    assert TRACEBACK not in run.text
    assert touched(up, before) == set()
    assert recorded(up) == {**dict.fromkeys(NODES, "v1.13.9"), CANARY: "v1.13.8"}


def test_pools_as_canaries_move_in_order_and_kubernetes_waits(up: Stack) -> None:
    up.ok("config", "set", "--path", "etcdSnapshotBucket.bucket", "backups")
    secrets = _authorities(up)
    before = node_events.last_order(up.lab)
    with watched(up, BUDGET) as seen:
        text = up.up().text

    others = [name for name in NODES if name != CANARY]
    assert_one_at_a_time(up, others, before)
    assert seen.shortages == []
    assert recorded(up) == running(up) == dict.fromkeys(NODES, "v1.13.8")
    assert said(text, "kubernetes-version").startswith("waits (upgradeCanary): 1.34.4 -> 1.35.4")
    assert _kubelets(up) == {"v1.34.4"}
    # Everybody has gone back to an older Talos.
    assert _authorities(up) == secrets


def test_talos_back_on_and_kubernetes_move_in_one_run_in_this_order(up: Stack) -> None:
    secrets = _authorities(up)
    up.unset("upgradeCanary")
    up.set("talosVersion", "v1.13.9")
    before = node_events.last_order(up.lab)
    with watched(up, BUDGET) as seen:
        text = up.up().text

    assert said(text, "node-up-cp-1").startswith("v1.13.8 -> v1.13.9, drains, reboots")
    assert said(text, "kubernetes-version").startswith("1.34.4 -> 1.35.4")
    assert seen.answers > 50
    assert seen.shortages == []
    assert_one_at_a_time(up, NODES, before)
    events = node_events.of_stack(up, after=before)
    last = max(e.order for e in events if e.kind == "reboot-end")
    first = next(e.order for e in events if e.kind == "static-pod" and "restarts" in e.detail)
    assert last < first
    assert recorded(up) == running(up) == dict.fromkeys(NODES, "v1.13.9")
    assert _kubelets(up) == {"v1.35.4"}
    assert _authorities(up) == secrets
    assert cordoned(up) == []
    assert up.up().changes == {}


def test_every_run_that_upgraded_a_control_plane_has_kept_a_snapshot(
    up: Stack, storage: ObjectStorage
) -> None:
    # The first is that of the run whose bucket did not take it.
    snapshots = sorted((up.project / "etcd-snapshots").iterdir())[1:]

    assert len(snapshots) == 2
    assert all(file.stat().st_mode & 0o077 == 0 for file in snapshots)
    assert all(file.stat().st_size > 20_000 for file in snapshots)
    assert storage.buckets["backups"] == {file.name: file.read_bytes() for file in snapshots}


def test_the_key_of_the_bucket_is_nowhere_in_plain_text(up: Stack) -> None:
    assert SECRET_KEY not in up.log
    assert SECRET_KEY not in up.state()
    assert SECRET_KEY in up.state(plain=True)


def _kubelets(stack: Stack) -> set[str]:
    return {node["status"]["nodeInfo"]["kubeletVersion"] for node in stack.nodes().values()}


def _authorities(stack: Stack) -> object:
    """All certificate authorities and tokens: those of the state, and those that each control plane really runs with."""
    resources = json.loads(stack.state(plain=True))["deployment"]["resources"]
    (secrets,) = (r for r in resources if r["type"] == "talos:machine/secrets:Secrets")
    running = []
    for address in ("10.0.0.11", "10.0.0.12", "10.0.0.13"):
        shown = stack.talosctl("-n", address, "get", "machineconfig", "v1alpha1", "-o", "yaml")
        main = next(yaml.safe_load_all(yaml.safe_load(shown)["spec"]))
        running.append(
            {key: main["cluster"][key] for key in ("ca", "aggregatorCA", "id", "secret")}
        )
        running.append({"os": main["machine"]["ca"], "etcd": main["cluster"]["etcd"]["ca"]})
    return secrets["outputs"]["machineSecrets"], running
