"""Addresses that the Hetzner emulator gives out."""

from ipaddress import IPv4Address, IPv4Network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.hetzner import addresses
from lab.hetzner.addresses import NoAddress


def test_public_addresses_start_at_one_one_and_avoid_the_ends_of_each_octet() -> None:
    given_out = [addresses.public_ipv4("127.16", number) for number in range(300)]
    assert given_out[0] == "127.16.1.1"
    assert given_out[253:255] == ["127.16.1.254", "127.16.2.1"]
    assert len(set(given_out)) == 300
    with pytest.raises(NoAddress):
        addresses.public_ipv4("127.16", 254 * 254)


def test_ipv6_networks_are_distinct_and_start_after_the_first() -> None:
    assert addresses.public_ipv6(0) == "2001:db8:0:1::/64"
    assert addresses.public_ipv6(0xFFFF) == "2001:db8:1::/64"
    assert addresses.first_host("2001:db8:0:1::/64") == "2001:db8:0:1::1"


def test_free_addresses_leave_out_routers_and_what_is_used() -> None:
    first, second = IPv4Network("10.0.0.0/24"), IPv4Network("10.0.1.0/24")
    assert addresses.first_free(first, "10.0.0.0/21", set()) == "10.0.0.2"
    assert addresses.first_free(second, "10.0.0.0/21", {"10.0.1.2"}) == "10.0.1.3"
    with pytest.raises(NoAddress):
        addresses.first_free(IPv4Network("10.0.0.0/30"), "10.0.0.0/21", {"10.0.0.2"})


@given(st.integers(24, 29), st.integers(0, 200), st.sets(st.integers(2, 6)))
def test_a_free_address_is_always_assignable_and_unused(
    prefix: int, net: int, taken: set[int]
) -> None:
    subnet = IPv4Network(f"10.1.{net}.0/{prefix}")
    used = {str(subnet.network_address + number) for number in taken}
    try:
        found = addresses.first_free(subnet, "10.0.0.0/8", used)
    except NoAddress:
        assert len(used) == subnet.num_addresses - 3
        return
    assert found not in used
    assert addresses.is_assignable(IPv4Address(found), subnet, "10.0.0.0/8")


def test_attachments_without_a_choice_prefer_the_last_subnet_of_the_zone() -> None:
    subnets = [
        {"ip_range": "10.0.9.0/24", "network_zone": "eu-central"},
        {"ip_range": "10.0.10.0/24", "network_zone": "eu-central"},
        {"ip_range": "10.0.11.0/24", "network_zone": "us-east"},
    ]
    order = addresses.subnet_to_use(subnets, "eu-central")
    assert [str(subnet) for subnet in order] == ["10.0.10.0/24", "10.0.9.0/24"]


@pytest.mark.parametrize("text", ["10.0.0.1/24", "10.0.0.0", "fd00::/64", "x", "10.0.0.0/33"])
def test_ranges_with_host_bits_or_of_other_kinds_are_none(text: str) -> None:
    assert addresses.parse_network(text) is None


@pytest.mark.parametrize(
    ("text", "expected"),
    [("10.0.0.0/8", True), ("172.31.0.0/16", True), ("172.32.0.0/16", False), ("0.0.0.0/0", False)],
)
def test_private_means_inside_rfc_1918(text: str, expected: bool) -> None:
    assert addresses.is_private(IPv4Network(text)) is expected
