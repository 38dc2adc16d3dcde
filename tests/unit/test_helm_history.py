"""Helm's history is brought into a state from which the next operation works, and nobody's running operation is touched."""

import base64
import gzip
import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest

from oxide_components.errors import OxideError
from oxide_components.helm_history import NEXT_IS_OURS, HelmHistory
from oxide_components.kubernetes_api import KubernetesApi

BEGAN = datetime(2026, 1, 1, 12, 0, tzinfo=UTC)
TIMEOUT = timedelta(minutes=15)


class Storage:
    """Secrets of one namespace, as the API server keeps them."""

    def __init__(self, *statuses: str, ours: bool = True) -> None:
        self.secrets: dict[str, dict[str, Any]] = {}
        for number, status in enumerate(statuses, start=1):
            announced = ours and number < len(statuses)
            self.secrets[f"sh.helm.release.v1.cilium.v{number}"] = {
                "metadata": {
                    "name": f"sh.helm.release.v1.cilium.v{number}",
                    "creationTimestamp": "2026-01-01T12:00:00Z",
                    "resourceVersion": str(number),
                    "labels": {"owner": "helm", "version": str(number), "status": status},
                    "annotations": {NEXT_IS_OURS: str(number + 1)} if announced else {},
                },
                "data": {"release": _packed(status, f"kind: Made{number}\n")},
            }

    def items(self, _path: str) -> list[dict[str, Any]]:
        return list(self.secrets.values())

    def request(
        self, method: str, path: str, body: Mapping[str, Any] | None = None, _type: str = ""
    ) -> tuple[int, bytes]:
        name = path.rsplit("/", 1)[-1]
        if name not in self.secrets:
            return 404, b"{}"
        secret = self.secrets[name]
        if method == "DELETE":
            del self.secrets[name]
        if method == "PATCH" and body is not None:
            metadata = body.get("metadata", {})
            if metadata.get("resourceVersion", "") not in (
                "",
                secret["metadata"]["resourceVersion"],
            ):
                return 409, b"{}"
            for part in ("labels", "annotations"):
                secret["metadata"][part].update(metadata.get(part, {}))
            secret["data"].update(body.get("data", {}))
        return 200, json.dumps(secret).encode()

    def statuses(self) -> list[str]:
        """Status of each revision; label and content must agree."""
        found = []
        for secret in self.secrets.values():
            status = secret["metadata"]["labels"]["status"]
            assert _release(secret)["info"]["status"] == status
            found.append(status)
        return found

    def manifest(self, number: int) -> str:
        return str(_release(self.secrets[f"sh.helm.release.v1.cilium.v{number}"])["manifest"])


def _packed(status: str, manifest: str) -> str:
    release = {"info": {"status": status, "description": ""}, "manifest": manifest}
    return base64.b64encode(base64.b64encode(gzip.compress(json.dumps(release).encode()))).decode()


def _release(secret: dict[str, Any]) -> dict[str, Any]:
    text = base64.b64decode(base64.b64decode(secret["data"]["release"]))
    release: dict[str, Any] = json.loads(gzip.decompress(text))
    return release


def _history(storage: Storage) -> HelmHistory:
    return HelmHistory(cast(KubernetesApi, storage), "kube-system", "cilium")


def _clear(storage: Storage, after: timedelta = timedelta(minutes=1)) -> list[str]:
    return _history(storage).clear_for_upgrade(BEGAN + after, TIMEOUT, lambda: None)


def test_a_finished_release_is_left_alone_and_the_next_revision_announced() -> None:
    storage = Storage("superseded", "deployed", ours=False)
    assert _clear(storage) == []
    assert storage.statuses() == ["superseded", "deployed"]
    last = storage.secrets["sh.helm.release.v1.cilium.v2"]["metadata"]
    assert last["annotations"] == {NEXT_IS_OURS: "3"}


def test_a_killed_upgrade_of_this_stack_becomes_what_the_next_one_starts_from() -> None:
    storage = Storage("deployed", "pending-upgrade")
    assert _clear(storage) == ["revision 2 of cilium was killed (pending-upgrade)"]
    assert storage.statuses() == ["superseded", "deployed"]
    # Objects that only the earlier revision has may still be there.
    assert storage.manifest(2) == "kind: Made2\n\n---\nkind: Made1\n"


def test_a_failed_upgrade_is_what_the_next_one_starts_from() -> None:
    storage = Storage("deployed", "failed")
    _clear(storage)
    assert storage.statuses() == ["superseded", "deployed"]
    assert storage.manifest(2) == "kind: Made2\n"


@pytest.mark.parametrize("status", ["pending-install", "failed"])
def test_where_nothing_was_deployed_a_failed_install_can_be_upgraded(status: str) -> None:
    storage = Storage(status)
    _clear(storage, after=timedelta(hours=1))
    assert storage.statuses() == ["failed"]


@pytest.mark.parametrize("status", ["pending-upgrade", "pending-rollback"])
def test_an_operation_of_somebody_else_is_waited_for_until_it_must_be_dead(status: str) -> None:
    storage = Storage("deployed", status, ours=False)
    with pytest.raises(OxideError, match=r"revision 2.*after 2026-01-01 12:15 UTC"):
        _clear(storage, after=TIMEOUT - timedelta(seconds=1))
    assert storage.statuses() == ["deployed", status]

    _clear(storage, after=TIMEOUT)
    assert storage.statuses() == ["superseded", "deployed"]


def test_what_a_killed_run_left_running_is_ended_before_its_revision_is_touched() -> None:
    storage = Storage("deployed", "pending-upgrade")
    seen: list[list[str]] = []
    _history(storage).clear_for_upgrade(BEGAN, TIMEOUT, lambda: seen.append(storage.statuses()))
    assert seen == [["deployed", "pending-upgrade"]]


def test_an_operation_that_goes_on_meanwhile_is_not_overwritten() -> None:
    storage = Storage("deployed", "pending-upgrade")
    read = storage.request

    def moves_on(method: str, path: str, *rest: Any) -> tuple[int, bytes]:
        answer = read(method, path, *rest)
        if method == "GET":
            storage.secrets[path.rsplit("/", 1)[-1]]["metadata"]["resourceVersion"] = "99"
        return answer

    storage.request = moves_on  # type: ignore[method-assign]
    with pytest.raises(OxideError, match="HTTP 409; run `pulumi up` again"):
        _clear(storage)


def test_an_install_forgets_a_release_that_the_state_does_not_know() -> None:
    storage = Storage("pending-install")
    assert _history(storage).clear_for_install() == [
        "forgot revision 1 of cilium (pending-install)"
    ]
    assert storage.secrets == {}
