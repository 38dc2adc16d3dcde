"""Helm's history of a release, as Secrets in the cluster: what unfinished and failed operations left in it keeps Helm from going on."""

import base64
import binascii
import gzip
import json
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote

from .errors import OxideError
from .kubernetes_api import KubernetesApi

NEXT_IS_OURS = "oxide/next-revision"
"""Annotation of a revision: the number of the one after it that a `pulumi up` was about to make."""

_DEPLOYED = "deployed"
_FAILED = "failed"
_SUPERSEDED = "superseded"
_UNFINISHED = frozenset({"pending-install", "pending-upgrade", "pending-rollback"})

_MERGE = "application/merge-patch+json"


@dataclass(frozen=True, kw_only=True)
class Revision:
    """One entry of a release's history."""

    number: int
    status: str
    """Helm's word for it, such as deployed, failed or pending-upgrade."""
    began: datetime
    secret: str
    """Name of the Secret that holds it."""
    next_is_ours: bool
    """Whether a `pulumi up` was about to make the revision after it."""

    @property
    def unfinished(self) -> bool:
        """Whether its operation has not come to an end."""
        return self.status in _UNFINISHED


class HelmHistory:
    """
    The revisions of one release.

    Args:
        api: The cluster.
        namespace: Namespace of the release.
        release: Its name.
    """

    def __init__(self, api: KubernetesApi, namespace: str, release: str) -> None:
        self._api = api
        self._release = release
        self._path = f"/api/v1/namespaces/{namespace}/secrets"

    def revisions(self) -> list[Revision]:
        """All revisions, oldest first."""
        selector = quote(f"owner=helm,name={self._release}")
        items = self._api.items(f"{self._path}?labelSelector={selector}")
        return sorted(map(_revision, items), key=lambda revision: revision.number)

    def clear_for_install(self) -> list[str]:
        """
        Forget a release that the state does not know, because Helm installs nothing beside it.

        Its objects stay and belong to the next revision.

        Returns:
            What was done, one line per revision.

        Raises:
            OxideError: The cluster refused.
        """
        done = []
        for revision in self.revisions():
            self._require(self._api.request("DELETE", f"{self._path}/{revision.secret}"), revision)
            done.append(f"forgot revision {revision.number} of {self._release} ({revision.status})")
        return done

    def clear_for_upgrade(
        self, now: datetime, abandoned_after: timedelta, end_orphans: Callable[[], object]
    ) -> list[str]:
        """
        Let the next upgrade start from what the last one has really applied, however that ended.

        Beside an unfinished operation Helm refuses every other one. After a failed one it compares with the last revision that
        was deployed, and keeps whatever the failed one has changed since.

        An unfinished operation counts as killed if a `pulumi up` has begun it: two of them cannot run at once on a stack.
        Whatever a person has begun with Helm is left alone as long as it may be running.

        Args:
            abandoned_after: Age from which on nobody's operation can be running any more.
            end_orphans: Ends what a killed run on this machine has left running.

        Returns:
            What was done, one line per revision.

        Raises:
            OxideError: Somebody may be working on the release, or the cluster refused.
        """
        revisions = self.revisions()
        if not revisions:
            return []
        *before, last = revisions
        done = []
        if last.unfinished:
            ours = bool(before) and before[-1].next_is_ours
            if not ours and now < (free := last.began + abandoned_after):
                raise OxideError(
                    f"Helm is at work on {self._release} (revision {last.number}, {last.status}), and not for this stack; "
                    f"run `pulumi up` again when it has ended, or after {free:%Y-%m-%d %H:%M} UTC, when it counts as killed"
                )
            end_orphans()
            done.append(f"revision {last.number} of {self._release} was killed ({last.status})")
        if last.unfinished or last.status == _FAILED:
            self._make_base(last, [one for one in before if one.status == _DEPLOYED])
        self._announce(last)
        return done

    def _make_base(self, last: Revision, deployed: list[Revision]) -> None:
        """
        Have Helm compare the next revision with this one.

        Where nothing was ever deployed Helm does so by itself, if this one has failed.
        """
        status = _DEPLOYED if deployed else _FAILED
        manifests = ""
        if last.unfinished and deployed:
            # It may have been killed before it removed what the earlier one has beyond it.
            manifests = f"\n---\n{self._stored(deployed[-1])[1]['manifest']}"
        self._change(
            last, status, f"Was {last.status}; the next revision starts from it", manifests
        )
        for earlier in deployed:
            self._change(earlier, _SUPERSEDED)

    def _announce(self, last: Revision) -> None:
        mark = {"metadata": {"annotations": {NEXT_IS_OURS: str(last.number + 1)}}}
        self._patch(last, mark)

    def _change(
        self, revision: Revision, status: str, description: str = "", manifests: str = ""
    ) -> None:
        secret, release = self._stored(revision)
        info = {**release["info"], "status": status}
        if description:
            info["description"] = description
        changed = {**release, "info": info, "manifest": release["manifest"] + manifests}
        self._patch(
            revision,
            {
                # Whoever changed it meanwhile is still at work.
                "metadata": {
                    "resourceVersion": secret["metadata"]["resourceVersion"],
                    "labels": {"status": status},
                },
                "data": {"release": _packed(changed)},
            },
        )

    def _stored(self, revision: Revision) -> tuple[dict[str, Any], dict[str, Any]]:
        """The Secret of a revision, and the release in it."""
        answer = self._api.request("GET", f"{self._path}/{revision.secret}")
        self._require(answer, revision)
        secret: dict[str, Any] = json.loads(answer[1])
        return secret, _unpacked(secret["data"]["release"])

    def _patch(self, revision: Revision, change: Mapping[str, Any]) -> None:
        path = f"{self._path}/{revision.secret}"
        self._require(self._api.request("PATCH", path, change, _MERGE), revision)

    def _require(self, answer: tuple[int, bytes], revision: Revision) -> None:
        status, _ = answer
        if status not in (200, 202):
            raise OxideError(
                f"revision {revision.number} of {self._release} in Helm's history cannot be read or changed: HTTP {status}; "
                "run `pulumi up` again"
            )


def _revision(item: dict[str, Any]) -> Revision:
    metadata = item["metadata"]
    labels, annotations = metadata["labels"], metadata.get("annotations") or {}
    number = int(labels["version"])
    return Revision(
        number=number,
        status=labels.get("status", "unknown"),
        began=datetime.fromisoformat(metadata["creationTimestamp"]).astimezone(UTC),
        secret=metadata["name"],
        next_is_ours=annotations.get(NEXT_IS_OURS) == str(number + 1),
    )


def _unpacked(text: str) -> dict[str, Any]:
    """A release out of its Secret: compressed JSON, as Base64 twice, since Helm's own text is Secret data again."""
    try:
        release: dict[str, Any] = json.loads(
            gzip.decompress(base64.b64decode(base64.b64decode(text)))
        )
    except (binascii.Error, OSError, EOFError, zlib.error, ValueError):
        raise OxideError("Helm's history cannot be read; look at it with `helm history`") from None
    return release


def _packed(release: dict[str, Any]) -> str:
    packed = gzip.compress(json.dumps(release).encode())
    return base64.b64encode(base64.b64encode(packed)).decode()
