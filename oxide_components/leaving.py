"""Leaving: how nodes go out of a living cluster, one by one, so that neither pods nor quorum are lost."""

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from . import etcd, naming
from .drain import drain, has_refuge
from .dynamic_provider import log_progress, log_warning, wait_until
from .errors import OxideError, UntouchedError
from .kubernetes_api import KubernetesApi, boot_id, internal_address
from .machine import BOOT_ID
from .talosctl import Talosctl, TalosError

SILENCE = 20.0
"""Seconds without an answer after which a node counts as dead."""

ETCD_TIMEOUT = 120.0
"""Seconds that etcd may take to let a member go: it refuses while it sees another member as unwell."""

RESET_TIMEOUT = 180.0
"""Seconds that a node may take to wipe its disk and power off."""

_PROBE_TIMEOUT = 8.0

Leaver = Mapping[str, Any]
"""Name, role, pool and index of a node; `private_address` where it is fixed."""


def leaving_order(nodes: Sequence[Leaver]) -> list[Leaver]:
    """Workers before control planes, the highest index of a pool first."""
    return sorted(
        nodes,
        key=lambda node: (
            node["role"] == naming.ROLE_CONTROL_PLANE,
            node["pool"],
            -int(node["index"]),
        ),
    )


class Leaving:
    """
    One run in which nodes leave.

    Every step bears repetition: what an earlier run did is found done.

    Args:
        talosctl: Credentials of the cluster.
        api: Client of the Kubernetes API through control planes that stay.
        staying: Control planes that stay and answer; all calls go through them.
        leavers: Nodes that leave.
        drain_timeout: Seconds that one node's drain may take.
        power_off: Cuts the power of the server of this name, if there is one.
        no_more_requests: Takes the control plane of this name out of the load balancer, if there is one.
        urn: Resource that shows the progress.
    """

    def __init__(
        self,
        *,
        talosctl: Talosctl,
        api: KubernetesApi,
        staying: Sequence[etcd.ControlPlane],
        leavers: Sequence[Leaver],
        drain_timeout: float,
        power_off: Callable[[str], object],
        no_more_requests: Callable[[str], object],
        urn: str | None,
    ) -> None:
        self._talosctl = talosctl
        self._api = api
        self._staying = staying
        self._leavers = leaving_order(leavers)
        self._names = frozenset(node["name"] for node in leavers)
        self._drain_timeout = drain_timeout
        self._power_off = power_off
        self._no_more_requests = no_more_requests
        self._urn = urn
        self._cordoned: set[str] = set()
        self._seen_at_first: str | None = None

    def run(self) -> dict[str, str]:
        """
        Let every node leave that can.

        Returns:
            Name of each node that did not leave, and why. The control planes after a failed one are among them.

        Raises:
            OxideError: Nothing could begin and nothing was touched.
        """
        workers = [node for node in self._leavers if node["role"] != naming.ROLE_CONTROL_PLANE]
        control_planes = [node for node in self._leavers if node not in workers]
        if control_planes:
            self._require_quorum(control_planes)
        # All at once, so that no pod moves from one that leaves to the next.
        for node in self._leavers:
            self._cordon(node["name"])
        failures = {}
        for node in workers:
            if (reason := self._tried(node)) is not None:
                failures[node["name"]] = reason
        # Of the control planes the dead go first: until then their votes are missing to let others go.
        control_planes.sort(key=lambda node: self._answers(node["private_address"]))
        failed = None
        for node in control_planes:
            if failed is not None:
                self._uncordon(node["name"])
                failures[node["name"]] = f"not tried, because {failed} did not leave"
            elif (reason := self._tried(node)) is not None:
                failed = node["name"]
                failures[node["name"]] = reason
        return failures

    def _require_quorum(self, control_planes: Sequence[Leaver]) -> None:
        if reasons := etcd.unhealthy_reasons(self._talosctl, self._staying):
            names = ", ".join(node["name"] for node in control_planes)
            raise UntouchedError(
                f"{names} cannot leave, etcd would lose its quorum: {'; '.join(reasons)}. Nothing was touched. Repair or "
                "replace that control plane first (docs/operations.md), then run `pulumi up` again"
            )

    def _tried(self, node: Leaver) -> str | None:
        """None when the node has left, else why not."""
        name = node["name"]
        try:
            self._leave(node)
        except OxideError as error:
            kept = "; the node stays cordoned" if name in self._cordoned else ""
            return f"{error}{kept}"
        log_progress(self._urn, f"{name} has left")
        return None

    def _leave(self, node: Leaver) -> None:
        name = node["name"]
        is_control_plane = node["role"] == naming.ROLE_CONTROL_PLANE
        kubernetes_node = self._api.node(name)
        address = node.get("private_address") or internal_address(kubernetes_node or {})
        if kubernetes_node is None and not (is_control_plane and self._traces(node)):
            # One that is about to join would do so after it has been let go.
            self._power_off(name)
            self._api.delete_node(name)
            log_progress(self._urn, f"{name} is no part of the cluster any more")
            return
        lives, drained = self._answers_in_time(name, address), False
        if lives and kubernetes_node is not None and not node.get("private_address"):
            lives = self._is_itself(kubernetes_node, address)
        if kubernetes_node is not None and (lives or self._kubelet_lives(name)):
            drained = self._drain(kubernetes_node)
        if is_control_plane:
            self._no_more_requests(name)
            self._leave_etcd(node, by_itself=lives)
        if lives:
            # Graceful, a control plane would try to leave etcd once more and not power off when it cannot.
            self._reset(name, address, graceful=drained and not is_control_plane)
        else:
            log_warning(
                self._urn,
                f"{name} does not answer: it is removed from "
                f"{'etcd and ' if is_control_plane else ''}Kubernetes without a reset",
            )
        if is_control_plane:
            # A control plane that was about to join may have done so in the meantime.
            self._leave_etcd(node, by_itself=False)
        self._api.delete_node(name)

    def _traces(self, node: Leaver) -> bool:
        """Whether a control plane without Node object is a member of etcd, or could become one."""
        member = etcd.member_of(self._members(), node)
        return member is not None or self._answers(node["private_address"])

    def _cordon(self, name: str) -> None:
        node = self._api.node(name)
        if node is None or node.get("spec", {}).get("unschedulable"):
            return
        if self._api.set_unschedulable(name, True):
            self._cordoned.add(name)

    def _uncordon(self, name: str) -> None:
        if name in self._cordoned:
            self._api.set_unschedulable(name, False)
            self._cordoned.discard(name)

    def _drain(self, node: dict[str, Any]) -> bool:
        """Drain the node; False where its pods have nowhere to go."""
        name = node["metadata"]["name"]

        def progress(text: str) -> None:
            log_progress(self._urn, f"{name}: {text}")

        if not has_refuge(self._api, node, self._names, progress):
            log_warning(
                self._urn,
                f"{name} is not drained: no other Ready node takes its pods; they end with it",
            )
            return False
        drain(self._api, name, self._drain_timeout, progress)
        return True

    def _leave_etcd(self, node: Leaver, *, by_itself: bool) -> None:
        """Take the node's member out of etcd; nothing to do where it has none."""
        name = node["name"]
        first = by_itself

        def reason() -> str | None:
            nonlocal first
            try:
                member = etcd.member_of(self._members(), node)
                if member is None:
                    return None
                if reasons := etcd.unhealthy_reasons(self._talosctl, self._staying):
                    return "; ".join(reasons)
                if first:
                    first = False
                    self._call(node["private_address"], "etcd", "leave", timeout=60)
                else:
                    etcd.remove_member(self._talosctl, self._staying[0], member)
                left = etcd.member_of(self._members(), node) is None
            except TalosError as error:
                return str(error)
            return None if left else f"{name} is still a member"

        wait_until(f"etcd to let {name} go", self._urn, ETCD_TIMEOUT, reason, interval=1)

    def _members(self) -> list[etcd.Member]:
        return etcd.members_of_any(self._talosctl, self._staying)

    def _reset(self, name: str, address: str, *, graceful: bool) -> None:
        log_progress(self._urn, f"{name}: wiping its disk")
        try:
            self._call(
                address,
                "reset",
                # Talos' own drain would wait for what ours has given up.
                f"--graceful={str(graceful).lower()}",
                "--reboot=false",
                "--system-labels-to-wipe=STATE",
                "--system-labels-to-wipe=EPHEMERAL",
                "--wait=false",
                timeout=60,
            )
        except TalosError as error:
            # The disk goes with the server; the cluster itself needs nothing more from this node.
            log_warning(self._urn, f"{name} is not wiped: {error}")
            return
        end = time.monotonic() + RESET_TIMEOUT
        while self._answers(address, through=self._staying[:1]):
            if time.monotonic() >= end:
                log_warning(self._urn, f"{name} was not off {RESET_TIMEOUT:.0f} s after its reset")
                return
            time.sleep(1)

    def _answers_in_time(self, name: str, address: str) -> bool:
        """Whether the node's Talos API answers before it counts as dead."""
        if not address:
            return False
        self._seen_at_first = self._api.last_report(name)
        end = time.monotonic() + SILENCE
        while not self._answers(address):
            if time.monotonic() >= end:
                return False
            log_progress(self._urn, f"{name} does not answer")
            time.sleep(1)
        return True

    def _is_itself(self, node: dict[str, Any], address: str) -> bool:
        """Whether what answers is the node: Hetzner gives the address of a server that is gone to the next one."""
        name = node["metadata"]["name"]
        end = time.monotonic() + SILENCE
        while True:
            found = self._api.node(name)
            reported = boot_id(found or {})
            try:
                if self._call(address, "read", BOOT_ID, timeout=_PROBE_TIMEOUT).strip() == reported:
                    return True
            except TalosError:
                return False
            if time.monotonic() >= end:
                log_warning(
                    self._urn, f"another machine has the address of {name} by now: {address}"
                )
                return False
            time.sleep(1)

    def _kubelet_lives(self, name: str) -> bool:
        """Whether the kubelet has reported while the Talos API was silent: such a node has pods to move."""
        sign = self._api.last_report(name)
        return sign is not None and sign != self._seen_at_first

    def _answers(self, address: str, through: Sequence[etcd.ControlPlane] | None = None) -> bool:
        try:
            self._call(address, "version", timeout=_PROBE_TIMEOUT, through=through)
        except TalosError:
            return False
        return True

    def _call(
        self,
        address: str,
        *args: str,
        timeout: float,
        through: Sequence[etcd.ControlPlane] | None = None,
    ) -> str:
        """One call to a node through the first staying control plane that gets it there."""
        error = TalosError("no control plane to go through")
        for via in through or self._staying:
            try:
                return self._talosctl.run(
                    *args, node=address, endpoint=via["public_address"], timeout=timeout
                )
            except TalosError as caught:
                error = caught
        raise error
