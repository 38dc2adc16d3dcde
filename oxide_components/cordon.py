"""Taking a node out of service for a while: cordoned, emptied, and put back only if Oxide took it out."""

from collections.abc import Collection

from .drain import drain, has_refuge
from .dynamic_provider import log_progress, log_warning
from .kubernetes_api import CORDONED, KubernetesApi


def cordon(api: KubernetesApi, name: str) -> None:
    """Keep new pods away from a node; one that somebody else has cordoned stays as it is."""
    node = api.node(name)
    if node is not None and not node.get("spec", {}).get("unschedulable"):
        api.set_unschedulable(name, True)


def empty(
    api: KubernetesApi,
    name: str,
    *,
    timeout: float,
    urn: str | None,
    unavailable: Collection[str] = (),
) -> None:
    """
    Move the pods of a cordoned node elsewhere; where there is no other place they stay, with a warning.

    Args:
        name: Name of the node.
        timeout: Seconds that it may take.
        urn: Resource that shows the progress.
        unavailable: Names of nodes that take no pods although they look as if they did.

    Raises:
        OxideError: Pods remain; the text names them.
    """
    node = api.node(name)
    if node is None:
        return
    if has_refuge(api, node, {name, *unavailable}, lambda text: log_progress(urn, text)):
        drain(api, name, timeout, lambda text: log_progress(urn, text))
    else:
        log_warning(
            urn, f"{name} is not drained: no other Ready node takes its pods; they stop with it"
        )


def put_back(api: KubernetesApi, name: str) -> None:
    """Uncordon a node that Oxide has cordoned, in this run or in one that was cut off; leave any other as it is."""
    if is_taken_out(api, name):
        api.set_unschedulable(name, False)


def is_taken_out(api: KubernetesApi, name: str) -> bool:
    """Whether a node carries Oxide's mark."""
    node = api.node(name)
    return node is not None and CORDONED in (node["metadata"].get("annotations") or {})
