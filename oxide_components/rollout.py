"""A roll-out: what all changes of living nodes share, whichever it is and whichever resource makes it."""

import contextlib
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NotRequired, TypedDict

import pulumi

from . import fleet, hetzner_api, load_balancer_targets, naming
from .cordon import cordon, empty, is_taken_out, put_back
from .dynamic_provider import cluster_lock, log_progress, wait_until
from .errors import OxideError
from .gate import GATE_TIMEOUT, Gate
from .kubernetes_api import ApiUnavailableError, KubernetesApi, talos_version
from .kubernetes_api import boot_id as reported_boot_id
from .machine import Machine
from .node_info import NodeInfo
from .object_storage import Bucket
from .packed import pack
from .roster import RosterControlPlane
from .talosctl import Talosctl, TalosError

NODE_TIMEOUT = 900
"""Seconds that a node may take to be well: boot, image pulls and the CNI's start on Hetzner's slow days."""

ANSWER_TIMEOUT = 60.0
"""Seconds that a node that is to be changed may take to answer."""

STEP_TIMEOUT = 1800
"""Seconds that the longest step of a turn may take: pulling and installing Talos (talosctl's own limit), or another server type."""

_one_at_a_time = threading.Lock()


class Rollout(TypedDict):
    """Facts of a cluster that every change of a node needs."""

    cluster_name: str
    """Name of the cluster."""
    control_planes: Sequence[RosterControlPlane]
    """All control planes that the cluster is meant to have."""
    kubeconfig: pulumi.Input[str]
    """Kubeconfig with an entry for each control plane (secret)."""
    talosconfig: pulumi.Input[str]
    """Talos credentials (secret)."""
    drain_timeout: int
    """Seconds that the drain of one node may take."""
    max_unavailable: int
    """How many workers of a pool may be out of service at a time."""
    node_timeout: int
    """Seconds that a node may take to be well after it was made, changed or restarted."""
    skip_nodes: Sequence[str]
    """Names of nodes that are left alone."""
    load_balancer: NotRequired[str]
    """Name of the load balancer that control planes leave before they go down. Default: none."""
    etcd_snapshot_directory: str
    """Where a snapshot of etcd is kept before control planes are upgraded. Empty for none."""
    etcd_snapshot_bucket: NotRequired[Bucket | None]
    """Where that snapshot is uploaded (secret). Default: nowhere."""


def packed_secret(text: pulumi.Input[str]) -> pulumi.Output[str]:
    """A text that every node's resources record (secret)."""
    return pulumi.Output.secret(text).apply(pack)


def node_properties(node: NodeInfo, rollout: Rollout) -> dict[str, Any]:
    """Inputs of a resource that changes this node."""
    return {
        "node_name": node["name"],
        "role": node["role"],
        "pool": node["pool"],
        "server_id": node["server"].id,
        "private_address": node["private_address"],
        # The name that states hold; what is meant is the address that takes calls.
        "public_address": node["address"],
        "cluster_name": rollout["cluster_name"],
        "control_planes": [dict(one) for one in rollout["control_planes"]],
        "kubeconfig": packed_secret(rollout["kubeconfig"]),
        "talosconfig": packed_secret(rollout["talosconfig"]),
        "drain_timeout": rollout["drain_timeout"],
        "max_unavailable": rollout["max_unavailable"],
        "node_timeout": rollout["node_timeout"],
        "skip_nodes": list(rollout["skip_nodes"]),
        "load_balancer": rollout.get("load_balancer", ""),
        "etcd_snapshot_directory": rollout["etcd_snapshot_directory"],
    }


def is_skipped(props: Mapping[str, Any]) -> bool:
    """Whether the node is to be left alone."""
    return props["node_name"] in (props.get("skip_nodes") or ())


def failure(error: OxideError) -> str:
    """What a failed change says: the reason, and how it goes on."""
    return (
        f"{error}. No node after it is touched. Correct the setting or repair the node, then run `pulumi up` again, which "
        "goes on here"
    )


class Site:
    """
    One node under change, with everything around it.

    Attributes:
        name: Name of the node.
        machine: Its Talos API.
        api: Client of the Kubernetes API.
        gate: Checks of the cluster.
        talosctl: Credentials of the cluster.
        props: Inputs of the resource.
        is_new: The server is new under this name, so that nothing runs on it yet.
        has_failed: The last run has waited for this node already, and in vain.
    """

    def __init__(self, talosctl: Talosctl, props: Mapping[str, Any]) -> None:
        self.name: str = props["node_name"]
        self.urn: str | None = props.get("urn")
        self.control_planes: list[Mapping[str, str]] = list(props["control_planes"])
        self.talosctl = talosctl
        self.api = KubernetesApi(props["kubeconfig"])
        self.machine = Machine(talosctl, self.name, props["private_address"], self.control_planes)
        self.gate = Gate(
            talosctl=talosctl,
            api=self.api,
            control_planes=self.control_planes,
            skipped=props.get("skip_nodes") or (),
            urn=self.urn,
        )
        self.props = props
        self.is_new = False
        self.has_failed = False
        self._boot_id: str | None = None
        """What the node's kubelet has to report before it counts as well."""

    @property
    def timeout(self) -> float:
        """Seconds that the node may take to be well."""
        return float(self.props.get("node_timeout") or NODE_TIMEOUT)

    @property
    def is_control_plane(self) -> bool:
        """Whether the node is a control plane."""
        return bool(self.props["role"] == naming.ROLE_CONTROL_PLANE)

    @property
    def _load_balancer(self) -> str:
        return str(self.props.get("load_balancer") or "") if self.is_control_plane else ""

    def wait_before(self, *, goes_down: bool, timeout: float | None = None) -> None:
        """
        Wait until the others are well enough for this node to be touched.

        Args:
            goes_down: The node will restart.
            timeout: Seconds that they may take. Default: long enough for those whose turn it is.

        Raises:
            OxideError: They are not in time; nothing was touched.
        """
        if self.is_control_plane:
            self.gate.before_control_plane(
                self.name,
                goes_down=goes_down,
                timeout=GATE_TIMEOUT if timeout is None else timeout,
            )
        elif not self.is_new:
            # Nothing runs on a new worker yet.
            most = int(self.props.get("max_unavailable") or 1)
            # Of several at a time, one may have to wait for another's whole turn.
            turn = STEP_TIMEOUT + float(self.props["drain_timeout"]) + 2 * self.timeout
            patience = GATE_TIMEOUT + (0 if most == 1 else turn)
            self.gate.before_worker(
                self.name,
                self.props["pool"],
                most,
                goes_down=goes_down,
                timeout=patience if timeout is None else timeout,
            )

    def take_out(self) -> None:
        """
        Wait for the others, then cordon and drain the node.

        Raises:
            OxideError: Not possible in time; the node takes pods as before.
        """
        while not self._cordoned():
            self.wait_before(goes_down=True)
        try:
            empty(
                self.api,
                self.name,
                timeout=float(self.props["drain_timeout"]),
                urn=self.urn,
                unavailable=self.props.get("skip_nodes") or (),
            )
            # Much may have happened while pods were moving.
            self.wait_before(goes_down=True)
            self.leave_load_balancer()
        except OxideError:
            put_back(self.api, self.name)
            raise

    def _cordoned(self) -> bool:
        """Cordon the node if it may go down at this moment; nobody waits here, because the others may have to pass by."""
        # Of two that look at the same time, each would see the other in service.
        with _one_at_a_time:
            try:
                self.wait_before(goes_down=True, timeout=0)
            except OxideError:
                return False
            cordon(self.api, self.name)
        return True

    def restart(self) -> None:
        """
        Reboot the node and wait until it has booted.

        Raises:
            OxideError: It has not come back in time.
        """
        boot = self.last_boot()
        self.say("reboots")
        self.machine.reboot()
        self.wait_booted(boot)

    def last_boot(self) -> str:
        """
        Boot id of a node that was taken out and is about to go down.

        Raises:
            OxideError: The node does not tell for `ANSWER_TIMEOUT`; it takes pods again.
        """
        end = time.monotonic() + ANSWER_TIMEOUT
        while True:
            try:
                return self.machine.boot_id()
            except TalosError:
                if time.monotonic() >= end:
                    self.put_back()
                    raise
            time.sleep(1)

    def wait_booted(self, before: str) -> None:
        """
        Wait until the node runs with another boot id than `before`.

        Raises:
            OxideError: It does not in time.
        """

        def reason() -> str | None:
            try:
                self._boot_id = self.machine.boot_id()
            except TalosError as error:
                return str(error)
            return None if self._boot_id != before else "has not restarted yet"

        try:
            wait_until(f"{self.name} to boot", self.urn, self.timeout, reason, interval=1)
        except OxideError as error:
            raise OxideError(f"{error}. {self._way_out}") from None

    def wait_first_boot(self) -> None:
        """
        Wait until a new server has booted.

        Raises:
            OxideError: It does not in time.
        """
        if self._boot_id is None:
            self.wait_booted("")

    def reported_version(self) -> str | None:
        """Talos version as the node's kubelet reports it from the boot that is known to run; None where there is no such report."""
        node = self._report_of(self._boot_id) if self._boot_id else None
        return None if node is None else talos_version(node)

    def _report_of(self, boot: str) -> dict[str, Any] | None:
        """The Node object, if it shows this boot."""
        try:
            node = self.api.node(self.name)
        except ApiUnavailableError:
            return None
        return node if node is not None and reported_boot_id(node) == boot else None

    def put_back(self) -> None:
        """Let the node take pods again, if Oxide has cordoned it, and a control plane requests."""
        # In this order: whatever Hetzner answers, a node that is well is of use.
        put_back(self.api, self.name)
        self.join_load_balancer()

    def leave_load_balancer(self) -> None:
        """
        Send no more requests to this control plane through the load balancer, where there is one.

        Raises:
            OxideError: Hetzner refuses or does not answer.
        """
        if balancer := self._load_balancer:
            server = int(self.props["server_id"])
            cluster = self.props["cluster_name"]
            if load_balancer_targets.leave(hetzner_api.client(), cluster, balancer, server):
                self.say(f"leaves load balancer {balancer}")

    def join_load_balancer(self) -> None:
        """
        Make sure that this control plane is behind the load balancer, where there is one.

        Nothing is remembered about who has left: whatever ended an earlier run, the next one puts it right.

        Raises:
            OxideError: Hetzner refuses or does not answer.
        """
        if balancer := self._load_balancer:
            server = int(self.props["server_id"])
            cluster = self.props["cluster_name"]
            if load_balancer_targets.join(hetzner_api.client(), cluster, balancer, server):
                self.say(f"is behind load balancer {balancer} again")

    def wait_kubelet(self) -> None:
        """
        Wait until the node's kubelet reports again.

        Raises:
            OxideError: It does not in time.
        """
        self.gate.kubelet_reports(self.name, self.timeout)

    def finish(self) -> None:
        """
        Wait until the node is well, then let it take pods again.

        Raises:
            OxideError: It is not well in time.
        """
        known = fleet.well_boot(self.props)
        if self._boot_id is None and known and self._report_of(known):
            # Found so a moment ago, and nothing has restarted it since.
            self._boot_id = known
        if self._boot_id is None:
            # An earlier run may have restarted it, and the Node object still shows how it was before.
            self.wait_booted("")
        self.gate.after(self.name, self.timeout, self._boot_id)
        self.put_back()
        if self._boot_id is not None:
            fleet.found_well(self.props, self._boot_id)

    def answers_within(self, seconds: float) -> bool:
        """Whether the node answers in that time."""
        end = time.monotonic() + seconds
        while (reason := self._silent_reason()) is not None:
            if time.monotonic() >= end:
                return False
            self.say(f"does not answer: {reason}")
            time.sleep(1)
        return True

    def _silent_reason(self) -> str | None:
        if not self.is_new:
            return self.machine.silent_reason()
        try:
            # Of a new server this is needed anyway.
            self._boot_id = self.machine.boot_id()
        except TalosError as error:
            return str(error)
        return None

    def wait_answer(self) -> None:
        """
        Wait until the node answers. One that a run was cut off from while it restarted gets all the time that restarts get.

        Raises:
            OxideError: It does not.
        """
        if self.answers_within(ANSWER_TIMEOUT):
            return
        if self._is_restarting() and self.answers_within(self.timeout - ANSWER_TIMEOUT):
            return
        reason = self.machine.silent_reason()
        raise OxideError(
            f"{self.name} does not answer and cannot be changed: {reason}. {self._way_out}"
        )

    @property
    def _way_out(self) -> str:
        """What an operator can do about a node that does not answer."""
        return (
            f"Its console at Hetzner may tell why. A reset may bring it back (`hcloud server reset {self.name}`), else it can "
            "be replaced (docs/operations.md) or left alone (skipNodes)"
        )

    def _is_restarting(self) -> bool:
        """Whether a run that was cut off may have left the node in a restart: it is out of service, and nobody saw it fail."""
        try:
            return not self.has_failed and is_taken_out(self.api, self.name)
        except ApiUnavailableError:
            return False

    def say(self, text: str) -> None:
        """Show what is going on beside the resource."""
        log_progress(self.urn, text)


@contextlib.contextmanager
def site(props: Mapping[str, Any]) -> Iterator[Site]:
    """
    The node of these inputs, with credentials in place, while nobody else works on the cluster.

    Raises:
        OxideError: Another run does.
    """
    first = props["control_planes"][0]
    with (
        cluster_lock(f"{props['cluster_name']} {first['public_address']}"),
        Talosctl(props["talosconfig"]) as talosctl,
    ):
        yield Site(talosctl, props)
