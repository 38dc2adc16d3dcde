"""One Talos server at Hetzner, with the options that keep a changed setting from ever replacing it."""

import base64
import gzip
from collections.abc import Mapping, Sequence

import pulumi
import pulumi_hcloud as hcloud

from . import naming
from .errors import OxideError
from .machine_config import USER_DATA_LIMIT
from .options import child_options
from .run_errors import told

_AT_CREATION_ONLY = ["user_data", "image", "location", "ssh_keys", "server_type", "public_nets"]
"""
Inputs that matter when the server is made. For a changed one of the first four the provider would replace the server,
for the last two it would power it off hard, for public_nets it would even delete primary IPs.
"""


def talos_server(
    logical_name: str,
    *,
    name: str,
    server_type: pulumi.Input[str],
    location: pulumi.Input[str],
    image: pulumi.Input[str],
    machine_configuration: pulumi.Output[str],
    subnet_id: pulumi.Input[str],
    private_address: str | None,
    public: bool,
    public_ipv4_id: pulumi.Input[int] | None,
    ipv6: bool,
    firewall_ids: Sequence[pulumi.Input[int]],
    placement_group_id: pulumi.Input[int],
    labels: Mapping[str, str],
    parent: pulumi.Resource,
    parent_opts: pulumi.ResourceOptions | None,
) -> hcloud.Server:
    """
    Declare one server that boots straight into its machine config.

    Args:
        private_address: Fixed address in the subnet. None lets Hetzner choose.
        public: Whether it has public addresses. Without, Hetzner takes no firewall for it.
        public_ipv4_id: Primary IP that outlives the server. None makes one with the server.
        ipv6: Whether it has a public IPv6 network beside the IPv4 address.
    """
    return hcloud.Server(
        logical_name,
        name=name,
        server_type=server_type,
        location=location,
        image=image,
        user_data=machine_configuration.apply(told(user_data)),
        networks=[hcloud.ServerNetworkArgs(subnet_id=subnet_id, ip=private_address)],
        public_nets=[
            hcloud.ServerPublicNetArgs(
                ipv4_enabled=public, ipv4=public_ipv4_id, ipv6_enabled=public and ipv6
            )
        ],
        firewall_ids=list(firewall_ids) if public else [],
        placement_group_id=placement_group_id,
        # A larger disk could never shrink again, and a node keeps nothing on it that needs the room.
        keep_disk=True,
        labels=dict(labels),
        opts=child_options(
            parent,
            parent_opts,
            ignore_changes=_AT_CREATION_ONLY,
            # Names and fixed addresses are unique: the old server has to go first.
            delete_before_replace=True,
            additional_secret_outputs=["userData"],
        ),
    )


def user_data(machine_configuration: str) -> str:
    """
    The config as user_data: as it is, or packed where it is too long.

    Talos unpacks base64 of gzip on Hetzner since 1.9.

    Raises:
        OxideError: It is too long even packed.
    """
    if len(machine_configuration.encode()) <= USER_DATA_LIMIT:
        return machine_configuration
    # No time stamp, so that the same config always gives the same text.
    packed = base64.b64encode(gzip.compress(machine_configuration.encode(), mtime=0)).decode()
    if len(packed) <= USER_DATA_LIMIT:
        return packed
    raise OxideError(
        f"a machine config is {len(packed)} bytes packed and Hetzner takes {USER_DATA_LIMIT}; "
        "shorten configPatches, controlPlaneConfigPatches, workerConfigPatches or a pool's configPatches"
    )


def private_address_of(server: hcloud.Server) -> pulumi.Output[str]:
    """The server's address in its private network."""
    address: pulumi.Output[str] = server.networks.apply(
        lambda networks: networks[0].ip if networks else ""
    )
    return address


def placement_groups(
    name: str,
    *,
    cluster: str,
    pool: str,
    role: str,
    count: int,
    generation: int = 1,
    parent: pulumi.Resource,
    parent_opts: pulumi.ResourceOptions | None,
) -> list[hcloud.PlacementGroup]:
    """Spread groups for a pool, ten servers each, so that one failing host takes one server of a group."""
    return [
        hcloud.PlacementGroup(
            f"{naming.generation_name(name, generation)}-group-{group}",
            name=naming.placement_group_name(cluster, pool, group, generation),
            type="spread",
            labels=naming.labels(cluster, role=role, pool=pool),
            opts=child_options(parent, parent_opts),
        )
        for group in range(1, naming.group_count(count) + 1)
    ]
