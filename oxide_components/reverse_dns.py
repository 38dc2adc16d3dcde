"""Reverse DNS entries of a node's public addresses."""

import pulumi
import pulumi_hcloud as hcloud

from .options import child_options

NAME = "{name}"
"""What a template has in place of the server's name."""


def reverse_dns(
    logical_name: str,
    *,
    template: str,
    server_name: str,
    server: hcloud.Server,
    primary_ip: hcloud.PrimaryIp | None,
    ipv6: bool,
    parent: pulumi.Resource,
    parent_opts: pulumi.ResourceOptions | None,
) -> None:
    """
    Name a public server's addresses after it.

    Args:
        template: DNS name with {name} for the server's name.
        primary_ip: Its IPv4 address, where that outlives the server.
        ipv6: Whether it has an IPv6 network; the entry is for the network's first address, which Talos takes.
    """
    dns_ptr = template.replace(NAME, server_name)
    options = child_options(parent, parent_opts)
    if primary_ip is not None:
        hcloud.Rdns(
            f"{logical_name}-rdns",
            primary_ip_id=primary_ip.id.apply(int),
            ip_address=primary_ip.ip_address,
            dns_ptr=dns_ptr,
            opts=options,
        )
    else:
        hcloud.Rdns(
            f"{logical_name}-rdns",
            server_id=server.id.apply(int),
            ip_address=server.ipv4_address,
            dns_ptr=dns_ptr,
            opts=options,
        )
    if ipv6:
        hcloud.Rdns(
            f"{logical_name}-rdns-ipv6",
            server_id=server.id.apply(int),
            ip_address=server.ipv6_address,
            dns_ptr=dns_ptr,
            opts=options,
        )
