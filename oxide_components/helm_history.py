"""Helm's history of a release, as Secrets in the cluster."""

from urllib.parse import quote

from .errors import OxideError
from .kubernetes_api import KubernetesApi

_UNFINISHED = frozenset({"pending-install", "pending-upgrade", "pending-rollback"})


def drop_revisions(
    api: KubernetesApi, namespace: str, release: str, *, unfinished_only: bool
) -> list[str]:
    """
    Remove revisions from the history and return their names.

    The objects of the release stay and belong to the next revision.

    Args:
        unfinished_only: Only those whose operation was killed, beside which Helm refuses every other.

    Raises:
        OxideError: The cluster refused.
    """
    path = f"/api/v1/namespaces/{namespace}/secrets"
    selector = quote(f"owner=helm,name={release}")
    dropped = [
        item["metadata"]["name"]
        for item in api.items(f"{path}?labelSelector={selector}")
        if not unfinished_only or item["metadata"]["labels"].get("status") in _UNFINISHED
    ]
    for name in dropped:
        status, _ = api.request("DELETE", f"{path}/{name}")
        if status not in (200, 202, 404):
            raise OxideError(f"{name} cannot be removed: HTTP {status}")
    return dropped
