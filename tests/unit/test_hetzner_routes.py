"""The Hetzner emulator serves every endpoint that the Terraform provider and its Go client call.

The list holds what terraform-provider-hcloud (which the Pulumi provider wraps) sends for the resources and
data sources of servers, networks, firewalls, addresses, volumes, load balancers, keys and images.
"""

import pytest

from lab.hetzner.app import ROUTES

CRUD = (
    "certificates",
    "firewalls",
    "floating_ips",
    "load_balancers",
    "networks",
    "placement_groups",
    "primary_ips",
    "servers",
    "ssh_keys",
    "volumes",
)
READ_ONLY = (
    "datacenters",
    "images",
    "isos",
    "load_balancer_types",
    "locations",
    "server_types",
)
ACTIONS = {
    "firewalls": ("set_rules", "apply_to_resources", "remove_from_resources"),
    "floating_ips": ("assign", "unassign", "change_dns_ptr", "change_protection"),
    "images": ("change_protection",),
    "load_balancers": (
        "add_service",
        "add_target",
        "attach_to_network",
        "change_algorithm",
        "change_dns_ptr",
        "change_protection",
        "change_type",
        "delete_service",
        "detach_from_network",
        "disable_public_interface",
        "enable_public_interface",
        "remove_target",
        "update_service",
    ),
    "networks": (
        "add_route",
        "add_subnet",
        "change_ip_range",
        "change_protection",
        "delete_route",
        "delete_subnet",
    ),
    "primary_ips": ("assign", "unassign", "change_dns_ptr", "change_protection"),
    "servers": (
        "add_to_placement_group",
        "attach_to_network",
        "change_alias_ips",
        "change_dns_ptr",
        "change_protection",
        "change_type",
        "create_image",
        "detach_from_network",
        "disable_backup",
        "disable_rescue",
        "enable_backup",
        "enable_rescue",
        "poweroff",
        "poweron",
        "reboot",
        "rebuild",
        "remove_from_placement_group",
        "reset",
        "shutdown",
    ),
    "volumes": ("attach", "detach", "resize", "change_protection"),
}
EXPECTED = sorted(
    {("GET", f"/{name}{rest}") for name in CRUD + READ_ONLY for rest in ("", "/{id}")}
    | {("POST", f"/{name}") for name in CRUD}
    | {(method, f"/{name}/{{id}}") for name in CRUD for method in ("PUT", "DELETE")}
    | {(method, "/images/{id}") for method in ("PUT", "DELETE")}
    | {("POST", f"/{name}/{{id}}/actions/{verb}") for name, vs in ACTIONS.items() for verb in vs}
    | {("GET", "/actions"), ("GET", "/actions/{id}"), ("GET", "/pricing")}
)
SERVED = [(route.method, route.path.replace(":int", "")) for route in ROUTES]


@pytest.mark.parametrize(("method", "path"), EXPECTED)
def test_the_endpoint_is_served(method: str, path: str) -> None:
    assert (method, path) in SERVED


def test_no_endpoint_is_defined_twice() -> None:
    assert len(SERVED) == len(set(SERVED))
