"""Hetzner's objects in the model's world: as the hcloud provider makes them, and as its API client sees them."""

import zlib
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

from hcloud import APIException

from .program import PRIMARY_IP, SERVER
from .things import Server
from .world import World, labels_match

SUBNET = "hcloud:index/networkSubnet:NetworkSubnet"
NETWORK = "hcloud:index/network:Network"

REPLACED_FOR: Mapping[str, frozenset[str]] = {
    SERVER: frozenset({"userData", "image", "location", "sshKeys"}),
    PRIMARY_IP: frozenset({"type", "location"}),
    SUBNET: frozenset({"networkId", "type", "networkZone", "ipRange"}),
    NETWORK: frozenset({"ipRange"}),
    "hcloud:index/placementGroup:PlacementGroup": frozenset({"type"}),
}
"""Inputs for which the provider replaces."""


class CloudError(Exception):
    """A provider's error."""


class Cloud:
    """The hcloud provider, and in-cluster providers that only need the API."""

    def __init__(self, world: World) -> None:
        self._world = world

    def create(
        self, type_: str, name: str, inputs: Mapping[str, Any]
    ) -> tuple[str, dict[str, Any]]:
        """Make an object; id and outputs."""
        world = self._world
        world.call()
        self._require(type_)
        if type_ == SERVER:
            server = self._new_server(inputs)
            world.call()
            return server.id, self.outputs(SERVER, server.id, inputs)
        id_ = str(zlib.crc32(f"{type_} {name}".encode()))
        if type_ == SUBNET:
            id_ = f"{int(inputs['networkId'])}-{inputs['ipRange']}"
        if not type_.startswith("hcloud:"):
            return id_, dict(inputs)
        if (type_, id_) in world.objects:
            raise CloudError(f"{type_} {inputs.get('name')}: uniqueness_error")
        world.objects[type_, id_] = dict(inputs)
        if type_ == PRIMARY_IP:
            world.objects[type_, id_]["address"] = f"198.51.{world.new_id()}.1"
        world.call()
        return id_, self.outputs(type_, id_, inputs)

    def outputs(self, type_: str, id_: str, inputs: Mapping[str, Any]) -> dict[str, Any]:
        """What the provider returns of an object that exists."""
        found = dict(inputs)
        if type_ == SERVER:
            server = self._world.servers[id_]
            found |= {
                "id": id_,
                "public": server.public,
                "private": server.private,
                "serverType": server.type,
            }
        elif type_ == PRIMARY_IP:
            found["address"] = self._world.objects[type_, id_]["address"]
        return found

    def exists(self, type_: str, id_: str) -> bool:
        """Whether a refresh finds it."""
        if not type_.startswith("hcloud:"):
            return True
        return (
            id_ in self._world.servers if type_ == SERVER else (type_, id_) in self._world.objects
        )

    def update(self, type_: str, id_: str, inputs: Mapping[str, Any], changed: set[str]) -> None:
        """Change an object in place."""
        self._world.call()
        self._require(type_)
        if type_ == SERVER:
            server = self._world.servers[id_]
            server.labels = dict(inputs["labels"])
            if changed & {"serverType", "publicNets", "placementGroupId", "networks"}:
                self._world.stop(server, f"update of {sorted(changed)}", for_good=False)
                self._world.violations.append(f"the provider powered {server.name} off: {changed}")
        else:
            self._world.objects[type_, id_].update(inputs)
        self._world.call()

    def delete(self, type_: str, id_: str) -> None:
        """Remove an object; the provider does not forgive a server that is gone."""
        world = self._world
        world.call()
        self._refuse_some()
        if type_ == SERVER:
            if id_ not in world.servers:
                raise CloudError(f"server {id_}: not_found")
            server = world.servers[id_]
            world.stop(server, "server deleted", for_good=True)
            del world.servers[id_]
        elif type_ == "hcloud:index/placementGroup:PlacementGroup" and any(
            server.placement_group == float(id_) for server in world.servers.values()
        ):
            raise CloudError(f"placement group {id_}: still in use")
        else:
            world.objects.pop((type_, id_), None)
        world.call()

    def _new_server(self, inputs: Mapping[str, Any]) -> Server:
        world = self._world
        if world.server_named(inputs["name"]) is not None:
            raise CloudError(f"server {inputs['name']}: uniqueness_error")
        if world.no_stock > 0:
            world.no_stock -= 1
            raise CloudError(f"server {inputs['name']}: resource_unavailable")
        id_ = world.new_id()
        address = inputs["networks"][0].get("ip") or world.free_worker_address()
        primary = inputs["publicNets"][0].get("ipv4")
        public = f"192.0.{id_}.1"
        if primary is not None:
            public = world.objects[PRIMARY_IP, str(int(primary))]["address"]
        server = Server(
            id=id_,
            name=inputs["name"],
            labels=dict(inputs["labels"]),
            type=inputs["serverType"],
            private=address,
            public=public,
            placement_group=inputs["placementGroupId"],
            user_data=inputs["userData"],
            config=inputs["userData"],
            made_at=world.now,
            up_at=world.now + world.random.randint(20, 90),
        )
        world.servers[id_] = server
        world.touch(server.name, "server created")
        return server

    def _require(self, type_: str) -> None:
        self._refuse_some()
        in_cluster = type_.startswith("kubernetes:")
        if in_cluster and not self._world.api_serves():
            raise CloudError(f"{type_}: cluster unreachable")

    def _refuse_some(self) -> None:
        if self._world.cloud_refusals > 0:
            self._world.cloud_refusals -= 1
            raise CloudError("hcloud: server error")


class Client:
    """Hetzner's official client, as recovery uses it."""

    def __init__(self, world: World) -> None:
        self.servers = _Servers(world)
        self.networks = _Objects(world, NETWORK)
        self.firewalls = _Objects(world, "hcloud:index/firewall:Firewall")
        self.placement_groups = _Objects(world, "hcloud:index/placementGroup:PlacementGroup")
        self.primary_ips = _Objects(world, PRIMARY_IP)
        self.load_balancers = _Objects(world, "hcloud:index/loadBalancer:LoadBalancer")
        # The cluster's own controllers make none here.
        self.volumes = _Objects(world, "hcloud:index/volume:Volume")


class _Objects:
    def __init__(self, world: World, type_: str) -> None:
        self._world, self._type = world, type_

    def get_all(self, *, name: str | None = None, label_selector: str) -> list[SimpleNamespace]:
        return [
            SimpleNamespace(id=int(id_), name=found["name"])
            for (type_, id_), found in self._world.objects.items()
            if type_ == self._type
            and name in (None, found["name"])
            and labels_match(found.get("labels") or {}, label_selector)
        ]

    def get_by_id(self, id_: int) -> SimpleNamespace:
        ranges = [
            subnet["ipRange"]
            for (type_, _), subnet in self._world.objects.items()
            if type_ == SUBNET and int(subnet["networkId"]) == id_
        ]
        return SimpleNamespace(
            id=id_, subnets=[SimpleNamespace(ip_range=one) for one in ranges], routes=[]
        )


class _Servers:
    def __init__(self, world: World) -> None:
        self._world = world

    def get_all(self, *, name: str | None = None, label_selector: str) -> list[SimpleNamespace]:
        return [
            SimpleNamespace(
                id=int(server.id), name=server.name, created=server.created, private_net=[]
            )
            for server in self._world.servers.values()
            if name in (None, server.name) and labels_match(server.labels, label_selector)
        ]

    def get_by_id(self, id_: int) -> "_BoundServer":
        self._world.call()
        return _BoundServer(self._world, self._world.servers[str(id_)])

    def get_by_name(self, name: str) -> "_BoundServer | None":
        self._world.call()
        server = self._world.server_named(name)
        return None if server is None else _BoundServer(self._world, server)


class _BoundServer:
    """A server as the client hands it out; what it shows is as old as the last look."""

    STATUS_OFF = "off"

    def __init__(self, world: World, server: Server) -> None:
        self._world, self._server = world, server
        self.id = int(server.id)
        self.reload()

    def reload(self) -> None:
        self._world.call()
        self.status = "running" if self._server.on else "off"
        self.server_type = SimpleNamespace(name=self._server.type)
        self.labels = dict(self._server.labels)

    def shutdown(self) -> "_Action":
        # A dead system hears nothing.
        if not self._server.dead:
            self._world.stop(self._server, "shut down", for_good=False)
        return _Action(self._world)

    def power_off(self) -> "_Action":
        self._world.stop(self._server, "powered off", for_good=False)
        return _Action(self._world)

    def power_on(self) -> "_Action":
        if not self._server.on:
            self._world.touch(self._server.name, "powered on")
            self._world.boot(self._server)
        return _Action(self._world)

    def change_type(self, server_type: Any, *, upgrade_disk: bool) -> "_Action":
        assert not self._server.on, "Hetzner changes only servers that are off"
        assert not upgrade_disk, "a larger disk never shrinks again"
        if self._world.no_stock > 0:
            self._world.no_stock -= 1
            raise APIException("resource_unavailable", "no stock", None)
        self._world.touch(self._server.name, "server type changed")
        self._server.type = server_type.name
        if self._world.random.random() < 0.5:
            # Hetzner starts some of them by itself.
            self.power_on()
        return _Action(self._world)


class _Action:
    def __init__(self, world: World) -> None:
        self._world = world

    def wait_until_finished(self, max_retries: int | None = None) -> None:
        self._world.call()
