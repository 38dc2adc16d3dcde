"""Taints of living workers. A kubelet sets them only while it registers, so they are changed through the Kubernetes API."""

import time

from .config_changes import taints_of
from .errors import OxideError
from .kubernetes_api import ApiUnavailableError, KubernetesApi

_ATTEMPTS = 5


def replace(api: KubernetesApi, name: str, *, before: str, after: str) -> None:
    """
    Replace the taints of one machine config by those of another; foreign taints stay.

    Raises:
        OxideError: The Node object keeps changing, or the API does not answer.
    """
    old, new = taints_of(before), taints_of(after)
    if old == new:
        return
    gone = {(key, effect) for key, _, effect in [*old, *new]}
    error: OxideError | None = None
    for _ in range(_ATTEMPTS):
        node = api.node(name)
        if node is None:
            return
        kept = [
            taint
            for taint in node.get("spec", {}).get("taints") or []
            if (taint.get("key"), taint.get("effect")) not in gone
        ]
        wanted = [{"key": k, "value": v, "effect": e} for k, v, e in new]
        try:
            api.patch_node(
                name,
                {
                    # The list is replaced as a whole: nobody else's change may get lost.
                    "metadata": {"resourceVersion": node["metadata"].get("resourceVersion")},
                    "spec": {"taints": kept + wanted},
                },
            )
        except ApiUnavailableError as caught:
            error = caught
            time.sleep(1)
        else:
            return
    raise OxideError(f"the taints of {name} cannot be set: {error}")
