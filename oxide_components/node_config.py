"""The machine config of a living node: a changed setting reaches it through the Talos API, one node at a time."""

import time
from collections.abc import Mapping, Sequence
from typing import Any

import pulumi
from pulumi.dynamic import CreateResult, DiffResult, ReadResult, Resource, UpdateResult

from . import fleet, naming, taints
from .component_images import with_versions_of
from .config_changes import changed_keys, reboot_keys, summary
from .dynamic_provider import LifecycleProvider, log_info
from .errors import OxideError
from .kubernetes_api import CORDONED, KubernetesApi
from .machine import Machine
from .node_info import NodeInfo
from .packed import unpack
from .recorded_failure import record_failure
from .rollout import Rollout, Site, failure, is_skipped, node_properties, packed_secret, site
from .talosctl import Talosctl, TalosError
from .urn import child_urn

SETTLE = 2.0
"""Seconds that Talos gets to hand a new config on to its services before anybody asks them how they are."""

_ETCD = "cluster.etcd"

_OF_THE_INSTALLER = "machine.install"
"""Part of a config that no running service reads."""

_OF_THE_KUBELET = (
    "machine.kubelet",
    "cluster.network",
    "cluster.externalCloudProvider",
    "cluster.allowSchedulingOnControlPlanes",
)
"""Keys with which Talos restarts the kubelet."""

_OF_THE_API_SERVER = (
    "cluster.apiServer",
    "cluster.ca",
    "cluster.aggregatorCA",
    "cluster.serviceAccount",
)
"""Keys with which Talos restarts the API server."""

_PENDING = "pending"
"""Recorded for a node that has not got its config yet."""


class NodeConfigProvider(LifecycleProvider):
    """
    Makes the node's config what it is meant to be.

    Whatever Talos applies at once is applied at once. What needs a reboot is staged; then the node is drained and rebooted.
    """

    def diff(self, _id: str, olds: dict[str, Any], news: dict[str, Any]) -> DiffResult:
        """Compare the configs and say in the preview which keys change and what that does to the node."""
        keys, what = _difference(olds, news)
        unfinished = bool(olds.get(_PENDING)) or olds.get("server_id") != news.get("server_id")
        if is_skipped(news):
            if keys or unfinished:
                log_info(news.get("urn"), f"skipped (skipNodes); {what or 'its config is open'}")
            return DiffResult(changes=False)
        if what or olds.get(_PENDING):
            log_info(news.get("urn"), what or "goes on: the node does not run with this config yet")
        return DiffResult(changes=bool(keys) or unfinished)

    def create(self, props: dict[str, Any]) -> CreateResult:
        """Make sure that the node has booted with this config."""
        return CreateResult(props["node_name"], _made_so(props))

    def update(self, _id: str, olds: dict[str, Any], news: dict[str, Any]) -> UpdateResult:
        """Give the node its config."""
        return UpdateResult(_made_so(news, olds))

    def read(self, id_: str, props: dict[str, Any]) -> ReadResult:
        """Mark the node as open where it runs with another config than the recorded one; silent nodes stay as recorded."""
        outs = dict(props)
        if not is_skipped(props) and _has_drifted(props):
            outs[_PENDING] = True
        return ReadResult(id_, outs)


class NodeConfig(Resource, module="oxide", name="NodeConfig"):
    """The machine config that one node runs with."""

    def __init__(
        self,
        name: str,
        node: NodeInfo,
        rollout: Rollout,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        properties = {
            **node_properties(node, rollout),
            "machine_configuration": packed_secret(node["machine_configuration"]),
            "urn": child_urn(name, "NodeConfig", opts),
        }
        super().__init__(NodeConfigProvider(), name, properties, opts)


def _difference(olds: Mapping[str, Any], news: Mapping[str, Any]) -> tuple[list[str], str]:
    """Keys that change, and what to tell about it."""
    before, after = olds.get("machine_configuration"), news.get("machine_configuration")
    if not isinstance(before, str) or not isinstance(after, str):
        # Unknown in this preview, because something that it is made of is changed as well.
        return [], "its config depends on what this run makes first" if isinstance(
            before, str
        ) else ""
    before, after = unpack(before), unpack(after)
    if before == after:
        # The common case of every preview, and reading configs is slow.
        return [], ""
    keys = changed_keys(before, with_versions_of(before, after))
    if not keys:
        return [], ""
    if blocking := [*reboot_keys(keys), *_etcd_keys(keys, news)]:
        return keys, f"drains and reboots for {summary(blocking)}; changes {summary(keys)}"
    return keys, f"changes {summary(keys)} without a reboot"


def _etcd_keys(keys: Sequence[str], props: Mapping[str, Any]) -> list[str]:
    """Keys that Talos takes over at once, and its etcd with the next boot only."""
    if props["role"] != naming.ROLE_CONTROL_PLANE:
        return []
    return [key for key in keys if key == _ETCD or key.startswith(f"{_ETCD}.")]


def _made_so(props: dict[str, Any], olds: Mapping[str, Any] | None = None) -> dict[str, Any]:
    inherited = _inherited(olds or {}, props)
    if is_skipped(props):
        return {**props, **inherited, _PENDING: True}
    if olds is None and fleet.has_config(props):
        return {**props, _PENDING: False}
    try:
        with site(props) as here:
            here.has_failed = bool((olds or {}).get(_PENDING))
            _apply(here, unpack(props["machine_configuration"]), olds or {}, inherited)
    except OxideError as error:
        # The node may run with half of it: taking the setting back has to bring it back, too.
        record_failure(props["node_name"], {**props, **inherited, _PENDING: True}, failure(error))
        raise
    return {**props, _PENDING: False}


def _inherited(olds: Mapping[str, Any], news: Mapping[str, Any]) -> dict[str, Any]:
    """
    What stays on record of a worker's earlier server as long as the Node object carries its taints.

    The kubelet of the new server finds that object and leaves them alone.
    """
    if news["role"] == naming.ROLE_CONTROL_PLANE or olds.get("server_id") == news["server_id"]:
        return {}
    return {key: olds[key] for key in ("server_id", "machine_configuration") if key in olds}


def _apply(here: Site, config: str, olds: Mapping[str, Any], inherited: dict[str, Any]) -> None:
    live = _live(here)
    wanted = with_versions_of(live, config)
    keys = changed_keys(live, wanted)
    # After an unfinished change, the next boot may still bring what has been staged: only another config takes that back.
    runs_with_it = not keys and not olds.get(_PENDING)
    if not runs_with_it:
        here.wait_before(goes_down=False)
        here.say(f"applying {summary(keys) or 'its config'}")
    if not here.is_control_plane and (inherited or not runs_with_it):
        # First, because afterwards the node's config no longer tells which taints were ours.
        recorded = unpack(olds.get("machine_configuration", live))
        taints.replace(
            here.api, here.name, before=[live, recorded], after=wanted, certain=not inherited
        )
        inherited.clear()
    if runs_with_it:
        here.finish()
        return
    if any(key.startswith(_OF_THE_API_SERVER) for key in keys):
        here.leave_load_balancer()
    # Staged, the node shows until its boot that it has yet to come, whatever becomes of this run.
    if _etcd_keys(keys, here.props) or not _applied(here, wanted):
        here.take_out()
        try:
            here.machine.apply(wanted, staged=True)
        except OxideError:
            here.put_back()
            raise
        here.restart()
    if not all(key.startswith(_OF_THE_INSTALLER) for key in keys):
        time.sleep(SETTLE)
    if any(key.startswith(_OF_THE_KUBELET) for key in keys):
        here.wait_kubelet()
    here.finish()


def _live(here: Site) -> str:
    try:
        return here.machine.config()
    except TalosError:
        # It may be restarting, which is worth a wait.
        here.wait_answer()
        return here.machine.config()


def _applied(here: Site, config: str) -> bool:
    """Hand the node its config; False when it needs a reboot. A node that refuses it serves as before."""
    try:
        return here.machine.apply(config)
    except OxideError:
        here.join_load_balancer()
        raise


def _has_drifted(props: Mapping[str, Any]) -> bool:
    """Whether the node runs with another config, or is still cordoned by a change that was cut off."""
    try:
        node = KubernetesApi(props["kubeconfig"], timeout=5).node(props["node_name"])
        if node is not None and CORDONED in (node["metadata"].get("annotations") or {}):
            return True
        with Talosctl(props["talosconfig"]) as talosctl:
            live = Machine(
                talosctl, props["node_name"], props["private_address"], props["control_planes"]
            ).config()
        wanted = unpack(props["machine_configuration"])
        return bool(changed_keys(live, with_versions_of(live, wanted)))
    except Exception:
        # Refreshing must work whatever state the cluster is in.
        return False
