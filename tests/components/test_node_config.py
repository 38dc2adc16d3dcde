"""The machine config of a living node, against a cluster of our own in which time passes only while somebody waits."""

from typing import Any

import pytest
import yaml

from oxide_components.errors import OxideError
from oxide_components.node import NodeProvider
from oxide_components.node_config import NodeConfigProvider

from .living import LABELS, NEEDS_REBOOT, SECRETS, Living, config, config_of, update

# The preview


def test_the_preview_names_the_keys_of_a_change_that_needs_no_reboot(living: Living) -> None:
    name = "demo-worker-1"
    news = living.props(name, **config(name, **LABELS))

    assert living.preview(NodeConfigProvider(), living.props(name), news)
    assert living.said == ["changes machine.nodeLabels.tier without a reboot"]
    assert living.cluster.calls == []


def test_the_preview_tells_which_key_makes_a_node_reboot(living: Living) -> None:
    name = "demo-cp-1"
    news = living.props(name, **config(name, **LABELS, **NEEDS_REBOOT))

    assert living.preview(NodeConfigProvider(), living.props(name), news)
    assert living.said == [
        "drains and reboots for machine.udev.rules; changes machine.nodeLabels.tier and machine.udev.rules"
    ]


def _with_etcd(name: str) -> dict[str, str]:
    main, hostname = yaml.safe_load_all(config_of(name))
    main["cluster"]["etcd"] = {"extraArgs": {"quota-backend-bytes": "1"}}
    return {"machine_configuration": yaml.safe_dump_all([main, hostname])}


def test_the_preview_tells_that_etcd_takes_its_settings_with_a_reboot(living: Living) -> None:
    for name in ("demo-cp-1", "demo-worker-1"):
        news = living.props(name, **_with_etcd(name))
        assert living.preview(NodeConfigProvider(), living.props(name), news)

    on_control_plane, on_worker = living.said
    assert on_control_plane.startswith("drains and reboots for cluster.etcd.extraArgs")
    assert on_worker.endswith("without a reboot")


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"drain_timeout": 5.0, "node_timeout": 5.0, "max_unavailable": 3.0},
        {"talosconfig": "renewed", "kubeconfig": "renewed"},
        {"skip_nodes": ["demo-worker-2"]},
        {"machine_configuration": config_of("demo-worker-1", kubernetes="v1.36.0")},
    ],
)
def test_what_changes_no_setting_of_the_node_is_no_change(
    living: Living, changes: dict[str, Any]
) -> None:
    olds = living.props("demo-worker-1")

    assert not living.preview(NodeConfigProvider(), olds, {**olds, **changes})
    assert living.said == []


@pytest.mark.parametrize("changes", [{"pending": True}, {"server_id": "10"}])
def test_an_unfinished_change_and_a_new_server_are_changes(
    living: Living, changes: dict[str, Any]
) -> None:
    news = living.props("demo-worker-1")

    assert living.preview(NodeConfigProvider(), {**news, **changes}, news)


def test_no_text_of_a_change_or_a_failure_holds_a_secret(living: Living) -> None:
    for name, machine in (
        ("demo-worker-1", {**LABELS, **NEEDS_REBOOT}),
        ("demo-worker-2", {"nodeLabels": {"a": "refused-by-talos planted-value"}}),
        ("demo-worker-3", {"unknown-key": "planted-value"}),
    ):
        changed = config(name, **machine)
        living.preview(NodeConfigProvider(), living.props(name), living.props(name, **changed))
        try:
            update(living, name, **changed)
        except OxideError as error:
            living.said.append(str(error))

    texts = "\n".join(living.texts())
    assert "a label is refused" in texts
    assert "unknown keys found" in texts
    assert not [secret for secret in SECRETS if secret in texts]


# The change


def test_a_node_that_has_its_config_is_not_touched(living: Living) -> None:
    outs = update(living, "demo-worker-1")

    assert living.cluster.done == []
    assert outs["pending"] is False


def test_a_new_node_is_only_checked(living: Living) -> None:
    created = NodeConfigProvider().create(living.props("demo-cp-2"))

    assert created.id == "demo-cp-2"
    assert (created.outs or {})["pending"] is False
    assert living.cluster.done == []


def test_a_worker_that_this_run_has_found_well_is_asked_for_its_config_only(
    living: Living,
) -> None:
    NodeProvider().create(living.props("demo-worker-1"))
    living.cluster.calls.clear()

    NodeConfigProvider().create(living.props("demo-worker-1"))

    assert living.cluster.calls == ["get machineconfig v1alpha1 -o json demo-worker-1"]


def test_a_worker_that_has_restarted_since_is_asked_again(living: Living) -> None:
    NodeProvider().create(living.props("demo-worker-1"))
    living.cluster.boots["demo-worker-1"] = 2
    living.cluster.nodes["demo-worker-1"]["status"]["nodeInfo"]["bootID"] = "boot-2"

    created = NodeConfigProvider().create(living.props("demo-worker-1"))

    assert (created.outs or {})["pending"] is False


def test_what_talos_takes_at_once_is_applied_without_a_drain(living: Living) -> None:
    outs = update(living, "demo-worker-1", **config("demo-worker-1", **LABELS))

    assert living.cluster.done == ["apply demo-worker-1 no-reboot"]
    assert "planted-value" in living.cluster.configs["demo-worker-1"]
    assert outs["pending"] is False
    assert living.recorded == []


def test_what_needs_a_reboot_is_staged_drained_and_rebooted(living: Living) -> None:
    update(living, "demo-worker-1", **config("demo-worker-1", **NEEDS_REBOOT))

    assert living.cluster.done == [
        "cordon demo-worker-1",
        "apply demo-worker-1 staged",
        "reboot demo-worker-1",
        "uncordon demo-worker-1",
    ]
    assert "udev" in living.cluster.configs["demo-worker-1"]


def test_etcd_gets_its_settings_with_a_reboot_and_not_before(living: Living) -> None:
    # Taken over at once, nothing would tell the next run that the reboot is still to come.
    update(living, "demo-cp-1", **_with_etcd("demo-cp-1"))

    assert living.cluster.done == [
        "cordon demo-cp-1",
        "apply demo-cp-1 staged",
        "reboot demo-cp-1",
        "uncordon demo-cp-1",
    ]


def test_a_restarted_node_takes_pods_only_when_its_kubelet_reports_the_new_boot(
    living: Living,
) -> None:
    # Until the kubelet reports, the Node object is as Ready as it was before.
    status = living.cluster.nodes["demo-worker-1"]["status"]
    seen: list[str] = []
    real = living.cluster.set_unschedulable

    def watched(name: str, unschedulable: bool) -> bool:
        seen.append(f"{unschedulable} {status['nodeInfo']['bootID']}")
        return real(name, unschedulable)

    living.cluster.set_unschedulable = watched  # type: ignore[method-assign]
    update(living, "demo-worker-1", **config("demo-worker-1", **NEEDS_REBOOT))

    assert seen == ["True boot-1", "False boot-2"]


def test_the_running_component_versions_are_kept(living: Living) -> None:
    name = "demo-worker-1"
    update(living, name, machine_configuration=config_of(name, kubernetes="v1.36.0", **LABELS))

    assert "kubelet:v1.35.4" in living.cluster.configs[name]
    assert "planted-value" in living.cluster.configs[name]


def test_a_control_plane_is_not_touched_while_another_is_down(living: Living) -> None:
    living.cluster.kill("demo-cp-3")

    with pytest.raises(OxideError, match=r"other control planes before demo-cp-1.*demo-cp-3"):
        update(living, "demo-cp-1", **config("demo-cp-1", **LABELS))

    assert living.cluster.done == []


def test_a_worker_is_not_touched_while_another_of_its_pool_is_down(living: Living) -> None:
    living.cluster.kill("demo-worker-3")

    with pytest.raises(OxideError, match=r"demo-worker-3 of pool worker not in service"):
        update(living, "demo-worker-1", **config("demo-worker-1", **LABELS))

    assert living.cluster.done == []


def test_the_change_goes_on_when_the_other_comes_back(living: Living) -> None:
    node = living.cluster.nodes["demo-worker-3"]
    ready = node["status"].pop("conditions")
    living.cluster.clock.after(30, lambda: node["status"].update(conditions=ready))

    update(living, "demo-worker-1", **config("demo-worker-1", **LABELS))

    assert living.cluster.done == ["apply demo-worker-1 no-reboot"]


def test_a_config_that_kills_the_kubelet_fails_although_the_node_looks_ready(
    living: Living,
) -> None:
    living.cluster.during["apply-config"] = lambda: living.cluster.dead_kubelets.add(
        "demo-worker-1"
    )
    broken = {"kubelet": {"image": "ghcr.io/siderolabs/kubelet:v1.35.4", "extraArgs": {"no": "1"}}}

    with pytest.raises(OxideError, match="its kubelet has not reported since the change"):
        update(living, "demo-worker-1", **config("demo-worker-1", **broken))

    ((_, outs, _),) = living.recorded
    assert outs["pending"] is True


def test_a_control_plane_is_done_when_its_static_pods_run_with_the_new_settings(
    living: Living,
) -> None:
    pod = "kube-apiserver-demo-cp-1"
    living.cluster.outdated[pod] = "6"
    living.cluster.clock.after(50, living.cluster.outdated.clear)

    update(living, "demo-cp-1", **config("demo-cp-1", **LABELS))

    assert living.cluster.clock.now >= 50
    assert any("kube-apiserver has not restarted yet" in text for text in living.progress)
