"""Gates: what has to hold before a node is touched, and after it, so that a roll-out never takes down more than it may."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import yaml

from . import etcd
from .drain import refuges
from .dynamic_provider import wait_until
from .errors import OxideError
from .kubeconfig import server_url
from .kubernetes_api import (
    CORDONED,
    ApiUnavailableError,
    KubernetesApi,
    no_network_reason,
    node_not_ready_reason,
)
from .kubernetes_api import boot_id as reported_boot_id
from .machine_config import POOL_NODE_LABEL
from .talosctl import Talosctl, TalosError

GATE_TIMEOUT = 300.0
"""Seconds that the other nodes may take to be well before one is touched."""

_COMPONENTS = frozenset({"kube-apiserver", "kube-controller-manager", "kube-scheduler"})
_TALOS_MARKS = "talos.dev/"
"""Prefix of the annotations by which Talos tells with which version of its settings a static pod runs."""


class Gate:
    """
    Checks of one cluster around the change of one node.

    Args:
        talosctl: Credentials of the cluster.
        api: Client of the Kubernetes API.
        control_planes: All control planes that the cluster is meant to have.
        skipped: Names of nodes that are known to be broken and left alone.
        urn: Resource that shows the progress.
    """

    def __init__(
        self,
        *,
        talosctl: Talosctl,
        api: KubernetesApi,
        control_planes: Sequence[etcd.ControlPlane],
        skipped: Collection[str],
        urn: str | None,
    ) -> None:
        self._talosctl = talosctl
        self._api = api
        self._control_planes = control_planes
        self._skipped = skipped
        self._urn = urn

    def before_control_plane(
        self, name: str, *, goes_down: bool, timeout: float = GATE_TIMEOUT
    ) -> None:
        """
        Wait until every other control plane is well.

        Args:
            goes_down: The node will restart, so that etcd has to do without its vote.

        Raises:
            OxideError: Time is up; the text names the check that failed.
        """
        others = [node for node in self._control_planes if node["name"] != name]
        relied_on = [node for node in others if node["name"] not in self._skipped]

        def reason() -> str | None:
            for node in relied_on:
                if (why := self._unwell_reason(node)) is not None:
                    return why
            if reasons := etcd.unhealthy_reasons(self._talosctl, relied_on):
                return f"etcd: {'; '.join(reasons)}"
            return self._quorum_reason(relied_on) if goes_down and others else None

        self._wait(f"the other control planes before {name}", reason, timeout)

    def before_worker(
        self,
        name: str,
        pool: str,
        most: int,
        *,
        goes_down: bool = True,
        timeout: float = GATE_TIMEOUT,
    ) -> None:
        """
        Wait until no more than `most` - 1 other workers of the pool are out of service.

        Args:
            goes_down: The node will restart, so that its pods need a place.

        Raises:
            OxideError: Time is up; the text names the workers.
        """

        def reason() -> str | None:
            nodes = self._api.items("/api/v1/nodes")
            out = [
                node
                for node in nodes
                if node["metadata"].get("labels", {}).get(POOL_NODE_LABEL) == pool
                and node["metadata"]["name"] not in (name, *self._skipped)
                and _is_out(node)
            ]
            if len(out) < most:
                return self._refuge_reason(name, nodes) if goes_down else None
            names = _names(out, ", ")
            why = f"{names} of pool {pool} not in service (at most {most} at a time)"
            return why + _uncordon_hint(out)

        self._wait(f"the other workers before {name}", reason, timeout)

    def after(self, name: str, timeout: float, boot_id: str | None = None) -> None:
        """
        Wait until a node is Ready, has a network, and, as a control plane, serves: its own API, its static pods as its config says, etcd.

        Args:
            name: Name of the node.
            timeout: Seconds until it fails.
            boot_id: What its kubelet has to report: for some time, a restarted node looks as Ready as it was.

        Raises:
            OxideError: Time is up; the text names the check that failed.
        """
        found = [node for node in self._control_planes if node["name"] == name]

        def reason() -> str | None:
            node_object = self._api.node(name)
            if (why := node_not_ready_reason(node_object)) is not None:
                return why
            if boot_id is not None and reported_boot_id(node_object or {}) != boot_id:
                return "its kubelet has not reported since the restart"
            if (why := no_network_reason(node_object or {})) is not None:
                return why
            for node in found:
                if (why := self._api.not_ready_reason(server_url(node["public_address"]))) or (
                    why := self._outdated_reason(node)
                ):
                    return why
            if found and (reasons := etcd.unhealthy_reasons(self._talosctl, found)):
                return f"etcd: {'; '.join(reasons)}"
            return None

        self._wait(name, reason, timeout)

    def kubelet_reports(self, name: str, timeout: float) -> None:
        """
        Wait until the node's kubelet reports once more: a broken one leaves its node looking Ready for most of a minute.

        Raises:
            OxideError: It does not in time.
        """
        seen: set[str | None] = set()

        def reason() -> str | None:
            seen.add(self._api.last_report(name))
            # The first may be older than the change, and the second the last one of a kubelet that is about to stop.
            return None if len(seen) > 2 else "its kubelet has not reported since the change"

        self._wait(name, reason, timeout)

    def _wait(self, what: str, reason: Any, timeout: float = GATE_TIMEOUT) -> None:
        def guarded() -> str | None:
            try:
                found: str | None = reason()
            except (ApiUnavailableError, TalosError) as error:
                return str(error)
            return found

        wait_until(what, self._urn, timeout, guarded, interval=1)

    def _refuge_reason(self, name: str, nodes: Sequence[dict[str, Any]]) -> str | None:
        """Why the pods of a node have no place until others are back that Oxide has taken out; None where that is not so."""
        mine = next((node for node in nodes if node["metadata"]["name"] == name), None)
        leaving = {name, *self._skipped}
        if mine is None or refuges(nodes, mine, leaving):
            return None
        back = refuges([_in_service(n) for n in nodes if _taken_out(n)], mine, leaving)
        if not back:
            return None
        return (
            f"no other node takes its pods until {_names(back, ', ')} is back{_uncordon_hint(back)}"
        )

    def _unwell_reason(self, node: etcd.ControlPlane) -> str | None:
        name = node["name"]
        if (why := node_not_ready_reason(self._api.node(name))) is not None:
            return f"node {name} {why}"
        if (why := self._api.not_ready_reason(server_url(node["public_address"]))) is not None:
            return f"the Kubernetes API of {name}: {why}"
        return None

    def _quorum_reason(self, relied_on: Sequence[etcd.ControlPlane]) -> str | None:
        """Why etcd could not do without one more member; `relied_on` are all well."""
        found = etcd.members(self._talosctl, relied_on[0]) if relied_on else []
        quorum = etcd.quorum_of(found, relied_on)
        if relied_on and quorum.holds:
            return None
        reason = f"etcd needs {quorum.needed} of its {quorum.members} members without this one and has {quorum.voting}"
        voters = {member.name for member in found if not member.learner}
        if missing := sorted(voters & set(self._skipped)):
            # Nobody works on a skipped node, so that waiting would change nothing.
            raise OxideError(
                f"{reason}: skipNodes leaves out {', '.join(missing)}; repair or replace that first"
            )
        return reason

    def _outdated_reason(self, node: etcd.ControlPlane) -> str | None:
        """Why the control plane's pods are not yet what Talos wants them to be."""
        for component, wanted in _static_pods(self._talosctl, node).items():
            pod = self._api.pod("kube-system", f"{component}-{node['name']}")
            if pod is None:
                return f"{component} is not up"
            carried = pod["metadata"].get("annotations") or {}
            if any(carried.get(mark) != version for mark, version in wanted.items()):
                return f"{component} has not restarted yet"
            if not _is_ready(pod):
                return f"{component} is not ready"
        return None


def _static_pods(talosctl: Talosctl, node: etcd.ControlPlane) -> dict[str, dict[str, str]]:
    """Control plane components that Talos runs on a node, each with the marks of the settings it is to run with."""
    listing = talosctl.run(
        "get",
        "staticpods",
        "-o",
        "yaml",
        node=node["private_address"],
        endpoint=node["public_address"],
    )
    found = {}
    for document in yaml.safe_load_all(listing):
        component = document["metadata"]["id"]
        annotations = document["spec"].get("metadata", {}).get("annotations") or {}
        if component in _COMPONENTS:
            found[component] = {
                mark: version
                for mark, version in annotations.items()
                if mark.startswith(_TALOS_MARKS)
            }
    return found


def _names(nodes: Sequence[Mapping[str, Any]], separator: str) -> str:
    return separator.join(node["metadata"]["name"] for node in nodes)


def _uncordon_hint(out: Sequence[Mapping[str, Any]]) -> str:
    """What to do about nodes that are well: a run that failed has left them so, and their own turn comes after another's."""
    ready = [node for node in out if node_not_ready_reason(dict(node)) is None]
    return f"; if nobody works on it, `kubectl uncordon {_names(ready, ' ')}`" if ready else ""


def _is_out(node: dict[str, Any]) -> bool:
    return _taken_out(node) or node_not_ready_reason(node) is not None


def _taken_out(node: Mapping[str, Any]) -> bool:
    # The mark alone says little: `kubectl uncordon` leaves it behind.
    annotations = node["metadata"].get("annotations") or {}
    return CORDONED in annotations and bool(node.get("spec", {}).get("unschedulable"))


def _in_service(node: Mapping[str, Any]) -> dict[str, Any]:
    return {**node, "spec": {**node.get("spec", {}), "unschedulable": False}}


def _is_ready(pod: dict[str, Any]) -> bool:
    conditions = pod.get("status", {}).get("conditions") or []
    return any(c.get("type") == "Ready" and c.get("status") == "True" for c in conditions)
