"""A server at Hetzner, under a node of the fake cluster."""

from types import SimpleNamespace
from typing import Any

from hcloud import APIException
from hcloud.actions import Action, ActionFailedException

from .fake_cluster import BOOT_SECONDS, FakeCluster


class FakeServer:
    """One server; what is done to it stands in the cluster's `done`."""

    STATUS_OFF = "off"

    def __init__(self, cluster: FakeCluster, name: str, server_type: str = "cpx21") -> None:
        self._cluster = cluster
        self._name = name
        self._address = cluster.addresses[name]
        self.server_type = SimpleNamespace(name=server_type)
        self.status = "running"
        self.shuts_down = True
        self.refusal: Exception | None = None
        self._failing: Exception | None = None
        self.starts_after_change = False
        self.all: list[SimpleNamespace] = []
        """What a list of the cluster's servers shows."""

    @property
    def servers(self) -> "FakeServer":
        """The server is its own client, which knows no other."""
        return self

    def get_by_id(self, server_id: int) -> "FakeServer":
        assert server_id == 11
        self._cluster.done.append("look up")
        return self

    def get_all(self, *, label_selector: str) -> list[SimpleNamespace]:
        assert label_selector == "cluster=demo"
        self._cluster.done.append("list servers")
        return self.all

    def reload(self) -> None:
        pass

    def wait_until_finished(self, max_retries: int | None = None) -> None:
        if self._failing is not None:
            failing, self._failing = self._failing, None
            raise failing

    def shutdown(self) -> "FakeServer":
        self._cluster.done.append(f"shut down {self._name}")
        if self.shuts_down:
            self._cluster.alive.pop(self._address)
            self._cluster.clock.after(5, self._off)
        return self

    def power_off(self) -> "FakeServer":
        self._cluster.done.append(f"power off {self._name}")
        self._cluster.alive.pop(self._address, None)
        self._off()
        return self

    def power_on(self) -> "FakeServer":
        assert self.status == "off"
        self._cluster.done.append(f"power on {self._name}")
        self._on()
        return self

    def change_type(self, server_type: Any, *, upgrade_disk: bool) -> "FakeServer":
        assert self.status == "off"
        assert not upgrade_disk, "a larger disk closes the way back"
        if isinstance(self.refusal, ActionFailedException):
            self._failing = self.refusal
            return self
        if self.refusal is not None:
            raise self.refusal
        self._cluster.done.append(f"{self.server_type.name} -> {server_type.name}")
        self.server_type = SimpleNamespace(name=server_type.name)
        if self.starts_after_change:
            self._on()
        return self

    def _off(self) -> None:
        self.status = "off"

    def _on(self) -> None:
        self.status = "running"
        self._cluster.clock.after(BOOT_SECONDS, lambda: self._cluster.boot(self._name))


def refused() -> APIException:
    """What Hetzner answers where a type is sold out."""
    return APIException("resource_unavailable", "server type not available in fsn1", details=None)


def failed() -> ActionFailedException:
    """What becomes of an action that Hetzner has begun and cannot finish."""
    text = "server type not available in fsn1"
    error: Any = {"code": "resource_unavailable", "message": text, "details": {}}
    return ActionFailedException(Action(id=1, command="change_server_type", error=error))
