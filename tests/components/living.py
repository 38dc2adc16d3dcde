"""A living cluster for the providers that change its nodes: inputs, time, what was said and what the engine would record."""

from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from oxide_components import dynamic_provider, fleet, node, node_config, rollout
from oxide_components.dynamic_provider import LifecycleProvider
from oxide_components.node_config import NodeConfigProvider

from .fake_cluster import FakeCluster, address_of

SECRETS = ("planted-talosconfig", "planted-kubeconfig", "planted-token", "planted-value")


LABELS: dict[str, Any] = {"nodeLabels": {"tier": "planted-value"}}
NEEDS_REBOOT: dict[str, Any] = {"udev": {"rules": ["planted-value"]}}


class Living:
    """A cluster of three control planes and three workers, and one run of Oxide on it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, directory: Any) -> None:
        self.cluster = FakeCluster(control_planes=3, workers=3)
        self.cluster.keeps_cordons = True
        self.cluster.configs = {name: config_of(name) for name in self.cluster.nodes}
        self.said: list[str] = []
        self.progress: list[str] = []
        self.recorded: list[tuple[str, dict[str, Any], str]] = []
        # The lock of another run of these tests is not meant.
        monkeypatch.setattr("tempfile.tempdir", str(directory))
        monkeypatch.setattr("time.sleep", self.cluster.clock.sleep)
        monkeypatch.setattr("time.monotonic", lambda: self.cluster.clock.now)
        for module in (fleet, rollout, node_config):
            monkeypatch.setattr(module, "Talosctl", self._talosctl)
        for module in (fleet, rollout, node_config, node):
            monkeypatch.setattr(module, "KubernetesApi", self._kubernetes_api)
        monkeypatch.setattr(dynamic_provider, "_log", self._log)
        # A run is a process of its own.
        fleet._clusters.clear()
        for module in (node, node_config):
            monkeypatch.setattr(module, "record_failure", self._record)

    def _talosctl(self, talosconfig: str) -> FakeCluster:
        assert talosconfig == "planted-talosconfig"
        return self.cluster

    def _kubernetes_api(self, kubeconfig: str, timeout: float = 10) -> FakeCluster:
        assert kubeconfig == "planted-kubeconfig"
        return self.cluster

    def _log(self, _urn: str | None, text: str, *, ephemeral: bool, severity: Any) -> None:
        (self.progress if ephemeral else self.said).append(text)

    def _record(self, id_: str, outs: dict[str, Any], reason: str) -> None:
        self.recorded.append((id_, outs, reason))

    def props(self, name: str, **changes: Any) -> dict[str, Any]:
        """Inputs of the resources of one node."""
        _, pool, index = name.split("-")
        return {
            "node_name": name,
            "role": "control-plane" if pool == "cp" else "worker",
            "pool": pool,
            "server_id": "11",
            "private_address": self.cluster.addresses[name],
            "public_address": f"192.0.2.{index}" if pool == "cp" else f"192.0.2.10{index}",
            "cluster_name": "demo",
            "control_planes": [
                {
                    "name": f"demo-cp-{i}",
                    "private_address": address_of(i),
                    "public_address": f"192.0.2.{i}",
                }
                for i in (1, 2, 3)
            ],
            "kubeconfig": "planted-kubeconfig",
            "talosconfig": "planted-talosconfig",
            # As the engine hands numbers over.
            "drain_timeout": 60.0,
            "max_unavailable": 1.0,
            "node_timeout": 300.0,
            "skip_nodes": [],
            "etcd_snapshot_directory": "",
            "server_type": "cpx21",
            "made_as": "cpx21",
            "server_urn": "urn:server",
            "talos_version": "v1.13.9",
            "schematic_id": "abc",
            "held": "",
            "machine_configuration": self.cluster.configs[name],
            "urn": "",
            **changes,
        }

    def preview(
        self, provider: LifecycleProvider, olds: dict[str, Any], news: dict[str, Any]
    ) -> bool:
        """Whether the preview shows a change; what it says is in `said`."""
        return bool(provider.diff("id", olds, news).changes)

    def texts(self) -> Iterator[str]:
        """Everything that anybody may read."""
        yield from (*self.said, *self.progress, *(reason for _, _, reason in self.recorded))


def config_of(name: str, *, kubernetes: str = "v1.35.4", **machine: Any) -> str:
    """A machine config in Talos' form; keyword arguments go into its machine section."""
    main = {
        "version": "v1alpha1",
        "machine": {
            "type": "controlplane" if "-cp-" in name else "worker",
            "token": "planted-token",
            "kubelet": {"image": f"ghcr.io/siderolabs/kubelet:{kubernetes}"},
            **machine,
        },
        "cluster": {"clusterName": "demo", "secret": "planted-value"},
    }
    hostname = {"apiVersion": "v1alpha1", "kind": "HostnameConfig", "auto": "off", "hostname": name}
    return str(yaml.safe_dump_all([main, hostname], sort_keys=False))


def update(living: Living, name: str, **changes: Any) -> dict[str, Any]:
    """Change the node's config as the engine does; what is recorded then."""
    provider = NodeConfigProvider()
    return provider.update(name, living.props(name), living.props(name, **changes)).outs or {}


def config(name: str, **machine: Any) -> dict[str, str]:
    """Inputs with another config."""
    return {"machine_configuration": config_of(name, **machine)}


def taints(*keys: str) -> dict[str, Any]:
    """Machine section of a worker that registers with these taints."""
    taints = [{"key": key, "value": "", "effect": "NoSchedule"} for key in keys]
    return {
        "kubelet": {
            "image": "ghcr.io/siderolabs/kubelet:v1.35.4",
            "extraConfig": {"registerWithTaints": taints},
        }
    }
