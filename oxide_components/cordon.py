"""Taking a node out of service for a while: cordoned and drained, and back only if Oxide took it out."""

from collections.abc import Collection

from .drain import drain, has_refuge
from .dynamic_provider import log_progress, log_warning
from .errors import OxideError
from .kubernetes_api import CORDONED, KubernetesApi


def take_out(
    api: KubernetesApi,
    name: str,
    *,
    timeout: float,
    urn: str | None,
    unavailable: Collection[str] = (),
) -> None:
    """
    Cordon a node and move its pods elsewhere.

    Args:
        timeout: Seconds that the drain may take.
        urn: Resource that shows the progress.
        unavailable: Names of nodes that take no pods although they look as if they did.

    Raises:
        OxideError: Pods remain. Then the node takes pods again, as before.
    """
    node = api.node(name)
    if node is None:
        return
    if not node.get("spec", {}).get("unschedulable"):
        api.set_unschedulable(name, True)
    if not has_refuge(api.items("/api/v1/nodes"), node, {name, *unavailable}):
        log_warning(
            urn, f"{name} is not drained: no other Ready node takes its pods; they stop with it"
        )
        return
    try:
        drain(api, name, timeout, lambda text: log_progress(urn, text))
    except OxideError:
        put_back(api, name)
        raise


def put_back(api: KubernetesApi, name: str) -> None:
    """Uncordon a node that Oxide has cordoned, in this run or in one that was cut off; leave any other as it is."""
    node = api.node(name)
    if node is not None and CORDONED in (node["metadata"].get("annotations") or {}):
        api.set_unschedulable(name, False)
