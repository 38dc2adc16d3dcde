"""Names and labels: fixed, because servers, state files and people hold on to them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oxide_components import naming


def test_names_are_built_from_cluster_pool_and_index() -> None:
    assert naming.server_name("prod", "cp", 1) == "prod-cp-1"
    assert naming.server_name("prod", "worker", 12) == "prod-worker-12"
    assert naming.placement_group_name("prod", "worker", 2) == "prod-worker-2"
    assert naming.api_hostname("prod") == "api.prod.internal"


def test_names_carry_the_generation_of_their_pool_from_the_second_on() -> None:
    assert naming.server_name("prod", "db", 1, 1) == naming.server_name("prod", "db", 1)
    assert naming.server_name("prod", "db", 3, generation=2) == "prod-db-g2-3"
    assert naming.placement_group_name("prod", "db", 2, generation=2) == "prod-db-g2-2"


@pytest.mark.parametrize(("index", "group"), [(1, 1), (10, 1), (11, 2), (20, 2), (21, 3)])
def test_ten_servers_share_a_placement_group(index: int, group: int) -> None:
    assert naming.group_index(index) == group


@given(st.integers(1, 100))
def test_there_are_as_many_groups_as_the_last_server_needs(servers: int) -> None:
    groups = [naming.group_index(index) for index in range(1, servers + 1)]
    assert set(groups) == set(range(1, naming.group_count(servers) + 1))
    assert all(groups.count(group) <= 10 for group in set(groups))


def test_no_servers_need_no_group() -> None:
    assert naming.group_count(0) == 0


def test_labels_of_a_server_and_of_shared_objects() -> None:
    assert naming.labels("prod") == {"cluster": "prod", "managed-by": "oxide"}
    assert naming.labels("prod", role=naming.ROLE_WORKER, pool="gpu", index=3) == {
        "cluster": "prod",
        "managed-by": "oxide",
        "role": "worker",
        "pool": "gpu",
        "index": "3",
    }


@pytest.mark.parametrize("name", ["a", "a1", "a-b", "1a", "a" * 63])
def test_host_names(name: str) -> None:
    assert naming.is_dns_label(name)


@pytest.mark.parametrize("name", ["", "A", "a_b", "-a", "a-", "a.b", "a" * 64, "ä", "a\n"])
def test_other_texts_are_no_host_names(name: str) -> None:
    assert not naming.is_dns_label(name)


@pytest.mark.parametrize(
    ("name", "valid"),
    [
        ("api.example.com", True),
        ("api", False),
        ("203.0.113.7", False),
        ("a..b", False),
        ("a.b:1", False),
    ],
)
def test_dns_names_have_two_labels_and_are_no_addresses(name: str, valid: bool) -> None:
    assert naming.is_dns_name(name) is valid
