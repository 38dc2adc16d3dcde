"""Taints of living workers. A kubelet sets them only while it registers, so they are changed through the Kubernetes API."""

import time
from collections.abc import Iterable

from .config_changes import taints_of
from .errors import OxideError
from .kubernetes_api import ApiUnavailableError, KubernetesApi

_ATTEMPTS = 5


def replace(
    api: KubernetesApi, name: str, *, before: Iterable[str], after: str, certain: bool = True
) -> None:
    """
    Give a node the taints of a machine config in place of those of others; foreign taints stay.

    Args:
        name: Name of the node.
        before: Configs that it has or may have had.
        after: Config that it is to have.
        certain: Whether it has the taints of one of these; not so where its Node object was an earlier server's.

    Raises:
        OxideError: The Node object keeps changing, or the API does not answer.
    """
    new = taints_of(after)
    earlier = [taints_of(config) for config in before]
    if certain and all(set(taints) == set(new) for taints in earlier):
        return
    old = [taint for taints in earlier for taint in taints]
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
