"""What the cluster's own controllers have made at Hetzner: a destroy clears it, because nobody else would."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import ip_address, ip_network
from typing import Any

import pulumi
from hcloud import APIException, Client
from hcloud.actions import ActionException
from hcloud.load_balancers import BoundLoadBalancer
from hcloud.networks import BoundNetwork, NetworkRoute
from hcloud.volumes import BoundVolume
from pulumi.dynamic import CreateResult, DiffResult, ReadResult, Resource
from requests import RequestException

from . import naming
from .addon_values import ENCRYPTION_SECRET, PASSPHRASE_KEY
from .dynamic_provider import LifecycleProvider, log_info, log_progress, log_warning
from .errors import OxideError
from .hetzner import SERVICE_LABEL
from .hetzner_api import client
from .urn import child_urn

SAVE_PASSPHRASE = (
    f"kubectl -n kube-system get secret {ENCRYPTION_SECRET} "
    f"-o jsonpath='{{.data.{PASSPHRASE_KEY}}}' | base64 -d"
)
"""Command that prints the passphrase of encrypted volumes."""

DETACH_TIMEOUT = 60.0
"""Seconds that Hetzner may take to detach a volume from a server that has just been deleted."""

GONE_TIMEOUT = 30.0
"""Seconds that Hetzner may go on listing a server that has just been deleted."""

_HETZNER_ERRORS = (APIException, ActionException, RequestException)


@dataclass(frozen=True)
class CloudObjects:
    """Objects at Hetzner that belong to one cluster and that no Pulumi resource stands for."""

    servers: list[str] = field(default_factory=list)
    """Names of the cluster's servers that are still in its network."""
    load_balancers: list[BoundLoadBalancer] = field(default_factory=list)
    volumes: list[BoundVolume] = field(default_factory=list)
    network: BoundNetwork | None = None
    routes: list[NetworkRoute] = field(default_factory=list)
    """Routes to the pods of its nodes."""


def find(hetzner: Client, props: Mapping[str, Any]) -> CloudObjects:
    """
    The objects of one cluster.

    Load balancers carry nothing but the id of their Service, so they are known by the controller's label and an address in
    one of the cluster's subnets, which nobody shares, in a shared network either. Volumes carry the cluster's name and the id of its network.
    """
    cluster, network_id = props["cluster_name"], int(props["network_id"])
    subnets = [ip_network(subnet) for subnet in props["subnets"]]
    try:
        network = hetzner.networks.get_by_id(network_id)
    except APIException as error:
        if error.code != "not_found":
            raise
        network = None
    pods = ip_network(props["pod_cidr"])
    servers = hetzner.servers.get_all(label_selector=f"{naming.LABEL_CLUSTER}={cluster}")
    return CloudObjects(
        servers=[
            server.name
            for server in servers
            if any(link.network.id == network_id for link in server.private_net)
        ],
        load_balancers=[
            balancer
            for balancer in hetzner.load_balancers.get_all(label_selector=SERVICE_LABEL)
            if any(
                link.network.id == network_id
                and any(ip_address(link.ip) in subnet for subnet in subnets)
                for link in balancer.private_net
            )
        ],
        volumes=hetzner.volumes.get_all(
            label_selector=f"{naming.LABEL_CLUSTER}={cluster},{naming.LABEL_NETWORK}={network_id}"
        ),
        network=network,
        routes=[
            route
            for route in (network.routes if network else None) or []
            if ip_network(route.destination).subnet_of(pods)  # type: ignore[arg-type]
        ],
    )


class CloudCleanupProvider(LifecycleProvider):
    """
    Deletes load balancers and routes when the cluster is gone, and volumes where that is wanted.

    Asks Hetzner alone, so that it works with a dead cluster.
    """

    def diff(self, _id: str, olds: dict[str, Any], news: dict[str, Any]) -> DiffResult:
        """Another wish or another network is recorded."""
        return DiffResult(changes=any(olds.get(key) != news[key] for key in news if key != "urn"))

    def create(self, props: dict[str, Any]) -> CreateResult:
        """Record where to look."""
        return CreateResult(props["cluster_name"], dict(props))

    def read(self, id_: str, props: dict[str, Any]) -> ReadResult:
        """Tell what a destroy would clear."""
        try:
            found = find(client(), props)
            for line in plan(found, delete_volumes=props["delete_volumes"]):
                log_info(props.get("urn"), line)
            if found.volumes and _loses_passphrase(props):
                log_warning(
                    props.get("urn"),
                    "a destroy takes the passphrase of encrypted volumes with it; without it nobody can open those that are kept. "
                    f"Save it before: {SAVE_PASSPHRASE}",
                )
        except (*_HETZNER_ERRORS, OxideError):
            # Refreshing must work whatever state the cloud is in.
            pass
        return ReadResult(id_, dict(props))

    def delete(self, _id: str, props: dict[str, Any]) -> None:
        """Clear what the cluster has left behind."""
        end = time.monotonic() + GONE_TIMEOUT
        try:
            hetzner = client()
            while (found := find(hetzner, props)).servers and time.monotonic() < end:
                time.sleep(2)
        except _HETZNER_ERRORS as error:
            raise OxideError(
                f"what the cluster has made at Hetzner cannot be listed: {error}; run `pulumi destroy` again"
            ) from None
        if found.servers:
            # They may use what would be cleared, and once this resource is gone nobody would come back for it.
            names = " ".join(found.servers)
            raise OxideError(
                f"servers of this cluster are still in its network, and no resource of this stack stands for them: {names}. Delete "
                f"them (`hcloud server delete {names}`), then run `pulumi destroy` again"
            )
        urn = props.get("urn")
        failures = _clear_balancers(found.load_balancers, urn) + _clear_routes(found, urn)
        if props["delete_volumes"]:
            failures += _clear_volumes(hetzner, found.volumes, urn)
        elif found.volumes:
            log_warning(urn, _kept(found.volumes))
            if _loses_passphrase(props):
                log_warning(
                    urn,
                    "encrypted ones among them can be opened with the passphrase alone, which was in this stack's state: "
                    "take it out of a backup of the state if you have not saved it",
                )
        if failures:
            raise OxideError("; ".join(failures) + "; then run `pulumi destroy` again")


class CloudCleanup(Resource, module="oxide", name="CloudCleanup"):
    """
    Its deletion clears what the cluster's controllers have made at Hetzner.

    Servers have to depend on it, and it on the subnets: then it is deleted after the servers and before the subnets.
    """

    def __init__(
        self,
        name: str,
        *,
        cluster_name: str,
        network_id: pulumi.Input[int],
        subnets: Sequence[str],
        pod_cidr: str,
        delete_volumes: bool,
        encrypted_volumes: bool = False,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        """
        Declare the clearing.

        Args:
            network_id: Network of the cluster.
            subnets: Ranges of the cluster's own subnets.
            pod_cidr: Range of pod addresses, to which routes may lead.
            delete_volumes: Delete volumes, too.
            encrypted_volumes: Whether the cluster has a storage class of encrypted volumes, whose passphrase only its state knows.
        """
        properties = {
            "cluster_name": cluster_name,
            "network_id": pulumi.Output.from_input(network_id).apply(str),
            "subnets": list(subnets),
            "pod_cidr": pod_cidr,
            "delete_volumes": delete_volumes,
            "encrypted_volumes": encrypted_volumes,
            "urn": child_urn(name, "CloudCleanup", opts),
        }
        super().__init__(CloudCleanupProvider(), name, properties, opts)


def plan(found: CloudObjects, *, delete_volumes: bool) -> list[str]:
    """What a destroy does to these objects, one line for each."""
    fate = "will be deleted" if delete_volumes else "will be kept (deleteVolumes)"
    return [
        *(
            f"load balancer {balancer.name} will be deleted with the cluster"
            for balancer in found.load_balancers
        ),
        *(f"volume {_volume(volume)} {fate}" for volume in found.volumes),
    ]


def _loses_passphrase(props: Mapping[str, Any]) -> bool:
    return bool(props.get("encrypted_volumes")) and not props["delete_volumes"]


def _clear_balancers(balancers: Sequence[BoundLoadBalancer], urn: str | None) -> list[str]:
    return [
        failure
        for balancer in balancers
        if (
            failure := _deleted(
                f"load balancer {balancer.name} of a Service",
                f"hcloud load-balancer disable-protection {balancer.id} delete",
                balancer.delete,
                urn,
            )
        )
    ]


def _clear_routes(found: CloudObjects, urn: str | None) -> list[str]:
    failures = []
    for route in found.routes:
        network = found.network
        if network is None:
            break
        try:
            network.delete_route(route).wait_until_finished()
        except _HETZNER_ERRORS as error:
            failures.append(f"route to {route.destination}: Hetzner: {error}; remove it")
    if found.routes and not failures:
        log_info(urn, f"deleted {len(found.routes)} routes to pods")
    return failures


def _clear_volumes(hetzner: Client, volumes: Sequence[BoundVolume], urn: str | None) -> list[str]:
    failures = []
    for volume in volumes:
        log_progress(urn, f"waiting for volume {volume.name} to be detached")
        end = time.monotonic() + DETACH_TIMEOUT
        try:
            while hetzner.volumes.get_by_id(volume.id).server and time.monotonic() < end:
                time.sleep(1)
        except _HETZNER_ERRORS:
            # The deletion tells what is wrong.
            pass
        failures.append(
            _deleted(
                f"volume {_volume(volume)}",
                f"hcloud volume disable-protection {volume.id} delete",
                volume.delete,
                urn,
            )
        )
    return [failure for failure in failures if failure]


def _deleted(what: str, unprotect: str, delete: Callable[[], object], urn: str | None) -> str:
    """Delete one object; why it did not work with the way out, empty where it did."""
    try:
        delete()
    except APIException as error:
        if error.code == "not_found":
            return ""
        if error.code == "protected":
            return f"{what} is protected against deletion; run `{unprotect}`"
        return f"{what}: Hetzner: {error}"
    except RequestException as error:
        return f"{what}: Hetzner: {error}"
    log_info(urn, f"deleted {what}")
    return ""


def _kept(volumes: Sequence[BoundVolume]) -> str:
    names = ", ".join(_volume(volume) for volume in volumes)
    ids = " ".join(str(volume.id) for volume in volumes)
    return (
        f"volumes of the cluster are kept, and paid for: {names}. Remove those that you do not need: "
        f"hcloud volume delete {ids}"
    )


def _volume(volume: BoundVolume) -> str:
    return f"{volume.name} ({volume.size} GB)"
