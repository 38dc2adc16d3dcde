"""A load balancer at Hetzner, with the servers behind it."""

from types import SimpleNamespace
from typing import Any

from hcloud import APIException


class FakeBalancer:
    """Its own client; what is done to it stands in `done`."""

    def __init__(self, done: list[str], *servers: int) -> None:
        self._done = done
        self.server_ids = list(servers)
        self.labels = {"cluster": "demo"}
        self.refusal: Exception | None = None

    @property
    def load_balancers(self) -> "FakeBalancer":
        """The load balancer is its own client, which knows no other."""
        return self

    @property
    def targets(self) -> list[Any]:
        servers = [
            SimpleNamespace(type="server", server=SimpleNamespace(id=i)) for i in self.server_ids
        ]
        return [*servers, SimpleNamespace(type="ip", server=None)]

    def get_by_name(self, name: str) -> "FakeBalancer | None":
        if self.refusal is not None:
            raise self.refusal
        return self if name == "demo-api" else None

    def remove_target(self, target: Any) -> "FakeBalancer":
        self._done.append(f"leave {target.server.id}")
        self.server_ids.remove(target.server.id)
        return self

    def add_target(self, target: Any) -> "FakeBalancer":
        assert target.use_private_ip
        self._done.append(f"join {target.server.id}")
        if target.server.id in self.server_ids:
            raise refused("target_already_defined")
        self.server_ids.append(target.server.id)
        return self

    def wait_until_finished(self) -> None:
        pass


def refused(code: str) -> APIException:
    """What Hetzner answers when it will not."""
    return APIException(code, "planted refusal", details=None)
