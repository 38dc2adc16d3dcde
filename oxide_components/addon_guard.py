"""Which add-ons can be switched off: not while something in the cluster lives on them."""

from collections.abc import Mapping, Sequence
from typing import Any

from .errors import OxideError
from .kubernetes_api import KubernetesApi

CLOUD_CONTROLLER = "cloudController"
CSI = "csi"

CSI_DRIVER = "csi.hetzner.cloud"
"""Name of Hetzner's CSI driver in PersistentVolumes."""

LOOK_UP_TIMEOUT = 5.0
"""Seconds that one control plane may take to answer: a preview waits for it."""

_NAMED = 5


def switch_off_refusals(before: Sequence[str], after: Sequence[str], kubeconfig: str) -> list[str]:
    """
    Why add-ons cannot be switched off, one text for each with the way out. Asks the cluster only if one is.

    Args:
        before: Names of the add-ons that the cluster has.
        after: Names of those that it is to have.
        kubeconfig: Access to the cluster.
    """
    gone = [name for name in before if name not in after]
    refusals = []
    for name in gone:
        try:
            users = _USERS[name](KubernetesApi(kubeconfig, timeout=LOOK_UP_TIMEOUT))
        except OxideError as error:
            refusals.append(
                f"oxide:addons.{name} cannot be switched off: whether anything needs it cannot be found out, the cluster does "
                f"not answer: {error}. Switch it on again, or repair the cluster first"
            )
            continue
        if users:
            refusals.append(f"oxide:addons.{name} cannot be switched off: {_WHY[name](users)}")
    return refusals


def _volumes(api: KubernetesApi) -> list[str]:
    """Names of PersistentVolumes that live at Hetzner."""
    return [
        item["metadata"]["name"]
        for item in api.items("/api/v1/persistentvolumes")
        if (item["spec"].get("csi") or {}).get("driver") == CSI_DRIVER
    ]


def _balanced_services(api: KubernetesApi) -> list[str]:
    """Services whose load balancer the controller keeps; one with a class of its own has another keeper."""
    return [
        f"{item['metadata']['namespace']}/{item['metadata']['name']}"
        for item in api.items("/api/v1/services")
        if item["spec"].get("type") == "LoadBalancer" and not item["spec"].get("loadBalancerClass")
    ]


_USERS = {CLOUD_CONTROLLER: _balanced_services, CSI: _volumes}

_WHY = {
    CLOUD_CONTROLLER: lambda users: (
        f"{_counted(users, 'Service')} of type LoadBalancer would keep load balancers that nobody looks after and you pay for "
        f"({_listed(users)}). Delete them or change their type, or switch it on again"
    ),
    CSI: lambda users: (
        f"{_counted(users, 'PersistentVolume')} of {CSI_DRIVER} could be neither mounted nor deleted any more ({_listed(users)}). "
        "Delete their claims (kubectl get pvc -A) and wait until the volumes are gone, or switch it on again"
    ),
}


def guarded(props: Mapping[str, Any]) -> list[str]:
    """Add-ons that these properties record."""
    return [str(name) for name in props.get("addons") or ()]


def _counted(users: Sequence[str], noun: str) -> str:
    return f"{len(users)} {noun}{'s' if len(users) > 1 else ''}"


def _listed(users: Sequence[str]) -> str:
    more = f" and {len(users) - _NAMED} more" if len(users) > _NAMED else ""
    return ", ".join(users[:_NAMED]) + more
