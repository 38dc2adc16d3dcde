"""Helm's history of a release, as Secrets in the cluster."""

import json
from urllib.parse import quote

from .errors import OxideError
from .kubernetes_api import KubernetesApi

_PENDING = frozenset({"pending-install", "pending-upgrade", "pending-rollback"})


def drop_pending_revisions(api: KubernetesApi, namespace: str, release: str) -> list[str]:
    """
    Remove revisions whose operation was killed, and return their names.

    Helm refuses every operation beside them. The objects of the release stay and belong to the next revision.

    Raises:
        OxideError: The cluster refused.
    """
    path = f"/api/v1/namespaces/{namespace}/secrets"
    selector = quote(f"owner=helm,name={release}")
    status, body = api.request("GET", f"{path}?labelSelector={selector}")
    if status != 200:
        raise OxideError(f"the history of release {release} cannot be read: HTTP {status}")
    pending = [
        item["metadata"]["name"]
        for item in json.loads(body)["items"]
        if item["metadata"]["labels"].get("status") in _PENDING
    ]
    for name in pending:
        status, _ = api.request("DELETE", f"{path}/{name}")
        if status not in (200, 202, 404):
            raise OxideError(f"{name} cannot be removed: HTTP {status}")
    return pending
