"""A stack against what Hetzner offers: unknown, retired and absent things are refused, living nodes are not."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address, IPv4Network
from types import SimpleNamespace
from typing import Any

import pytest
from hcloud import APIException

from oxide_components import catalogue, naming
from oxide_components.catalogue import Catalogue, ExistingImage, ExistingNetwork, Hetzner, Wanted
from oxide_components.config import ClusterConfig
from oxide_components.errors import ConfigError

from .stack_values import pool, raw

PAST = datetime.now(UTC) - timedelta(days=3)
FUTURE = datetime.now(UTC) + timedelta(days=30)

OFFERS = Catalogue(
    locations={"nbg1": "eu-central", "fsn1": "eu-central", "ash": "us-east", "new1": "eu-central"},
    server_types={
        "cx33": {"nbg1": None, "fsn1": None, "new1": None},
        "cax21": {"fsn1": None},
        "cpx31": {"nbg1": PAST, "ash": None},
        "cpx41": {"nbg1": FUTURE},
    },
    load_balancer_types=frozenset({"lb11", "lb21"}),
)
NETWORK = ExistingNetwork(
    range=IPv4Network("10.0.0.0/16"),
    subnets={IPv4Network("10.0.200.0/24"): "eu-central"},
    has_default_route=True,
)
IN_NETWORK = {
    "networkId": "7",
    "networkCidr": "10.0.0.0/16",
    "podCidr": "10.96.0.0/16",
    "serviceCidr": "10.97.0.0/16",
}


@dataclass(frozen=True, kw_only=True)
class _Offering(Hetzner):
    token: str = "planted"
    catalogue: Catalogue | None = OFFERS

    def look(self, wanted: Wanted) -> Catalogue | None:
        assert wanted.cluster_name == "oxide"
        return self.catalogue


def _config(values: Mapping[str, Any], catalogue: Catalogue | None = OFFERS) -> ClusterConfig:
    return ClusterConfig.parse(raw(dict(values)), hetzner=_Offering(catalogue=catalogue))


def _problems(values: Mapping[str, Any], catalogue: Catalogue = OFFERS) -> tuple[str, ...]:
    with pytest.raises(ConfigError) as raised:
        _config(values, catalogue)
    return raised.value.problems


@pytest.mark.parametrize(
    ("values", "said"),
    [
        (
            {"controlPlaneServerType": "cx99"},
            "oxide:controlPlaneServerType: cx99 does not exist at Hetzner; use one that nbg1 has: cpx41, cx33",
        ),
        (
            {"workerServerType": "cpx31"},
            f"oxide:workerServerType: cpx31 can no longer be ordered in nbg1 since {PAST:%Y-%m-%d}; use one that nbg1 has: cpx41, cx33",
        ),
        (
            {"workerPools": [pool(serverType="cax21")]},
            "oxide:workerPools[0].serverType: cax21 is not to be had in nbg1; use one that nbg1 has: cpx41, cx33",
        ),
        (
            {"location": "old1", "networkZone": "eu-central"},
            "oxide:location: old1 does not exist at Hetzner; use one of ash, fsn1, nbg1, new1",
        ),
        (
            {"controlPlaneLocations": ["nbg1", "old1"], "networkZone": "eu-central"},
            "oxide:controlPlaneLocations[1]: old1 does not exist at Hetzner; use one of ash, fsn1, nbg1, new1",
        ),
        (
            {"controlPlaneLocations": ["fsn1", "nbg1"], "controlPlaneServerType": "cax21"},
            "oxide:controlPlaneServerType: cax21 is not to be had in nbg1; use one that nbg1 has: cpx41, cx33",
        ),
        (
            {"location": "new1", "networkZone": "us-east"},
            "oxide:location: new1 is in network zone eu-central and the cluster is in us-east; "
            "keep all nodes in one zone, because a network has only one",
        ),
        (
            {"apiLoadBalancer": "private", "apiLoadBalancerType": "lb99"},
            "oxide:apiLoadBalancerType: lb99 does not exist at Hetzner; use one of lb11, lb21",
        ),
        (
            IN_NETWORK,
            "oxide:networkId: 7 is no network of this Hetzner project; give the id that `hcloud network list` shows",
        ),
    ],
)
def test_what_hetzner_does_not_have_is_one_problem(values: dict[str, Any], said: str) -> None:
    assert _problems(values) == (said,)


def test_an_unknown_type_is_reported_beside_an_unknown_location() -> None:
    values = {"location": "old1", "networkZone": "eu-central", "controlPlaneServerType": "cx99"}
    assert [line.split(" ")[:2] for line in _problems(values)] == [
        ["oxide:location:", "old1"],
        ["oxide:controlPlaneServerType:", "cx99"],
    ]


def test_all_problems_come_together_whatever_they_were_found_by() -> None:
    problems = _problems({"controlPlanes": 2, "controlPlaneServerType": "cx99", "typo": "x"})
    assert {line.split(":")[1] for line in problems} == {
        "controlPlanes",
        "controlPlaneServerType",
        "typo",
    }


def test_what_hetzner_or_the_network_would_refuse_later_is_refused_at_once() -> None:
    """Everything in one configuration, and so in one error of the preview."""
    rule = {"protocol": "tcp", "sourceCidrs": ["203.0.113.7/32"]}
    problems = _problems(
        {
            "adminCidrs": ["0.0.0.0/0"],
            "apiLoadBalancer": "public",
            "serviceCidr": "10.0.0.0/24",
            "workerSubnetCidr": "10.0.1.0/28",
            "podCidr": "10.64.0.0/16",
            "routingMode": "native",
            "addons": {"cloudController": True},
            "workers": 97,
            "workerPools": [pool(serverType="cx21", location="ash")],
            "controlPlaneServerType": "cx99",
            "extraFirewallRules": [{**rule, "port": port} for port in range(8001, 8052)],
        }
    )

    said = {
        "oxide:adminCidrs: 0.0.0.0/0": "everybody",
        "oxide:apiLoadBalancer: public": "lets everybody reach the Kubernetes API",
        "oxide:serviceCidr: 10.0.0.0/24": "overlaps",
        "oxide:workerSubnetCidr: 10.0.1.0/28": "addresses",
        "oxide:podCidr: 10.64.0.0/16": "networkCidr",
        'oxide:workerPools: "101 servers"': "is more than the 100 that a Hetzner network takes",
        "oxide:workerPools[0].serverType: cx21": "can no longer be ordered",
        "oxide:workerPools[0].location: ash": "is in network zone us-east",
        "oxide:controlPlaneServerType: cx99": "does not exist at Hetzner",
        "oxide:extraFirewallRules: 53 rules": "more than the 50 that a Hetzner firewall takes",
    }
    for start, reason in said.items():
        assert [p for p in problems if p.startswith(start) and reason in p], (start, problems)


def test_eleven_servers_of_a_pool_are_split_into_two_placement_groups() -> None:
    """Hetzner takes ten in one; the only limit left is that of the groups in a project."""
    assert _config({"workers": 11}).workers == 11
    assert naming.group_count(11) == 2


def test_living_nodes_keep_a_type_that_is_no_longer_sold() -> None:
    living = replace(OFFERS, servers=frozenset({"oxide-worker-1", "oxide-worker-2"}))
    assert _config({"workerServerType": "cpx31"}, living).workers == 2

    (problem,) = _problems({"workerServerType": "cpx31", "workers": 3}, living)
    assert "can no longer be ordered" in problem


def test_the_end_of_a_type_is_announced() -> None:
    (warning,) = _config({"workerServerType": "cpx41"}).warnings
    assert f"can be ordered in nbg1 until {FUTURE:%Y-%m-%d} only" in warning


def test_a_catalogue_that_cannot_be_read_is_a_warning() -> None:
    (warning,) = _config({}, None).warnings
    assert "could not be checked" in warning


@pytest.mark.parametrize(
    ("network", "values", "said"),
    [
        (
            replace(NETWORK, range=IPv4Network("10.0.0.0/17")),
            {},
            "networkCidr: 10.0.0.0/16 is not the range of network 7, 10.0.0.0/17",
        ),
        (
            replace(NETWORK, subnets={IPv4Network("10.0.1.128/25"): "eu-central"}),
            {},
            "workerSubnetCidr: 10.0.1.0/24 overlaps subnet 10.0.1.128/25 of network 7",
        ),
        (
            replace(NETWORK, subnets={IPv4Network("10.0.200.0/24"): "us-east"}),
            {},
            "networkId: 7 has subnets in zone us-east",
        ),
        (
            replace(NETWORK, has_default_route=False),
            {"existingNatRoute": "true"},
            "existingNatRoute: true is not so: network 7 has no route",
        ),
    ],
)
def test_an_existing_network_that_does_not_fit_is_refused(
    network: ExistingNetwork, values: dict[str, Any], said: str
) -> None:
    (problem,) = _problems({**IN_NETWORK, **values}, replace(OFFERS, network=network))
    assert said in problem


OWN = {IPv4Network("10.0.0.0/24"): "eu-central", IPv4Network("10.0.1.0/24"): "eu-central"}
FOUNDED = frozenset({"oxide-cp-1"})


def _in(network: ExistingNetwork, servers: frozenset[str] = frozenset()) -> Catalogue:
    return replace(OFFERS, network=network, servers=servers)


def test_the_subnets_of_a_cluster_that_has_servers_are_its_own() -> None:
    config = _config(IN_NETWORK, _in(replace(NETWORK, subnets=OWN), FOUNDED))
    assert config.network_id == 7
    assert config.warnings == ()


def test_subnets_in_which_nobody_lives_are_those_of_an_earlier_run_or_somebody_elses() -> None:
    warnings = _config(IN_NETWORK, _in(replace(NETWORK, subnets=OWN))).warnings
    assert [line.split(" is a subnet of network 7 already")[0] for line in warnings] == [
        "oxide:controlSubnetCidr: 10.0.0.0/24",
        "oxide:workerSubnetCidr: 10.0.1.0/24",
    ]
    assert all("if an earlier run of this stack made it, all is well" in line for line in warnings)


def test_a_subnet_in_which_others_live_is_refused_before_a_run_has_begun() -> None:
    strangers = {
        IPv4Address("10.0.1.7"): "web",
        IPv4Address("10.0.1.8"): "balancer",
        IPv4Address("10.0.200.2"): "nat",
    }
    network = replace(NETWORK, subnets={**NETWORK.subnets, **OWN}, strangers=strangers)
    assert _problems(IN_NETWORK, _in(network)) == (
        "oxide:workerSubnetCidr: 10.0.1.0/24 is a subnet of network 7 where others live: balancer, web; "
        "choose a free part of the network",
    )


NATIVE = {
    "networkId": "7",
    "networkCidr": "10.0.0.0/16",
    "routingMode": "native",
    "addons": {"cloudController": True},
}
ROUTED = replace(
    NETWORK,
    routes={
        IPv4Network("0.0.0.0/0"): IPv4Address("10.0.200.2"),
        IPv4Network("10.0.16.128/25"): IPv4Address("10.0.1.2"),
    },
)


@pytest.mark.parametrize(
    ("network", "said"),
    [
        (
            replace(NETWORK, subnets={IPv4Network("10.0.20.0/24"): "eu-central"}),
            "oxide:podCidr: 10.0.16.0/20 overlaps subnet 10.0.20.0/24 of network 7; choose a free part of the network",
        ),
        (
            replace(NETWORK, subnets={IPv4Network("10.0.8.0/22"): "eu-central"}),
            "oxide:serviceCidr: 10.0.8.0/21 overlaps subnet 10.0.8.0/22 of network 7; choose a free part of the network",
        ),
        (
            ROUTED,
            "oxide:podCidr: 10.0.16.0/20 holds the route of network 7 to 10.0.16.128/25 through 10.0.1.2; "
            "choose a free part of the network",
        ),
    ],
)
def test_native_routing_shares_no_range_with_the_rest_of_the_network(
    network: ExistingNetwork, said: str
) -> None:
    assert _problems(NATIVE, _in(network)) == (said,)


def test_a_living_cluster_is_warned_of_what_was_put_into_its_ranges() -> None:
    """They are fixed: refused, it could not even be taken down."""
    taken = {**OWN, IPv4Network("10.0.20.0/24"): "eu-central"}
    config = _config(NATIVE, _in(replace(NETWORK, subnets=taken, begun=True), FOUNDED))

    assert config.warnings == (
        "oxide:podCidr: 10.0.16.0/20 overlaps subnet 10.0.20.0/24 of network 7; let whoever made it move it",
    )


@pytest.mark.parametrize("servers", [FOUNDED, frozenset[str]()])
def test_routes_to_the_pods_of_a_cluster_are_its_own_even_when_its_servers_are_lost(
    servers: frozenset[str],
) -> None:
    network = replace(ROUTED, subnets=OWN, begun=True)
    assert _config(NATIVE, _in(network, servers)).network_id == 7


def test_without_native_routing_nobody_cares_for_routes() -> None:
    routes = {IPv4Network("10.96.3.0/24"): IPv4Address("10.0.200.2")}
    assert _config(IN_NETWORK, _in(replace(NETWORK, routes=routes))).network_id == 7


IMAGE = ExistingImage(status="available", architecture="x86")


@pytest.mark.parametrize(
    ("image", "said"),
    [
        (None, "7 is no image of this Hetzner project; give the id that `hcloud image list"),
        (replace(IMAGE, status="creating"), "7 is creating, and servers boot from nothing but"),
        (replace(IMAGE, architecture="arm"), "7 is an image for arm, and new servers need x86;"),
    ],
)
def test_an_image_that_boots_no_new_server_is_refused(
    image: ExistingImage | None, said: str
) -> None:
    (problem,) = _problems({"imageId": "7"}, replace(OFFERS, image=image))
    assert f"oxide:imageId: {said}" in problem


def test_servers_that_exist_outlive_their_image() -> None:
    assert _config({"imageId": "7"}, replace(OFFERS, image=IMAGE)).image_id == 7
    names = {*(f"oxide-cp-{n}" for n in (1, 2, 3)), "oxide-worker-1", "oxide-worker-2"}
    assert _config({"imageId": "7"}, replace(OFFERS, servers=frozenset(names))).image_id == 7


class _Project:
    """A Hetzner project with one network, as hcloud's client shows it; `asked` counts lists."""

    def __init__(self, own: bool, groups: bool = False) -> None:
        self.asked: list[str] = []
        link, other = (
            SimpleNamespace(network=SimpleNamespace(id=id_), ip="10.0.1.7") for id_ in (7, 8)
        )
        mine = self._attached("oxide-cp-1", link, cluster="oxide")
        web, away = self._attached("web", link), self._attached("away", other)
        service = self._attached("a1b2", link, **{"hcloud-ccm/service-uid": "1"})
        self._servers = [*([mine] if own else []), web, away]
        self._balancers = [self._attached("oxide-api", link, cluster="oxide"), service]
        self.servers = SimpleNamespace(get_all=self._get_servers)
        self.load_balancers = SimpleNamespace(get_all=self._get_balancers)
        self.networks = SimpleNamespace(get_by_id=self._network)
        self.images = SimpleNamespace(get_by_id=self._image)
        self._groups = [SimpleNamespace(name="oxide-cp")] if groups else []
        self.placement_groups = SimpleNamespace(get_all=self._get_groups)
        nothing = SimpleNamespace(get_all=list)
        self.locations = self.server_types = self.load_balancer_types = nothing

    @staticmethod
    def _attached(name: str, link: SimpleNamespace, **labels: str) -> SimpleNamespace:
        return SimpleNamespace(name=name, labels=labels, private_net=[link], public_net=None)

    def _get_servers(self, label_selector: str = "") -> list[SimpleNamespace]:
        self.asked.append(f"servers {label_selector}".strip())
        return [one for one in self._servers if one.labels or not label_selector]

    def _get_groups(self, label_selector: str) -> list[SimpleNamespace]:
        self.asked.append(f"placement groups {label_selector}")
        return self._groups

    def _get_balancers(self) -> list[SimpleNamespace]:
        self.asked.append("load balancers")
        return self._balancers

    @staticmethod
    def _image(image_id: int) -> SimpleNamespace:
        if image_id != 9:
            raise APIException("not_found", "image not found", None)
        return SimpleNamespace(status="creating", architecture="arm")

    def _network(self, network_id: int) -> SimpleNamespace:
        return SimpleNamespace(
            id=network_id,
            ip_range="10.0.0.0/16",
            subnets=[SimpleNamespace(ip_range="10.0.1.0/24", network_zone="eu-central")],
            routes=[SimpleNamespace(destination="0.0.0.0/0", gateway="10.0.200.2")],
            servers=[1, 2],
        )


@pytest.mark.parametrize(
    ("image_id", "image"),
    [
        (None, None),
        (8, None),
        (9, ExistingImage(status="creating", architecture="arm")),
    ],
)
def test_the_image_is_looked_up_where_the_stack_names_one(
    monkeypatch: pytest.MonkeyPatch, image_id: int | None, image: ExistingImage | None
) -> None:
    monkeypatch.setattr(catalogue, "Client", lambda **_: _Project(own=False))

    found = Hetzner(token="planted").look(Wanted(cluster_name="oxide", image_id=image_id))

    assert found is not None
    assert found.image == image


@pytest.mark.parametrize(
    ("own", "groups", "asked", "strangers"),
    [
        (
            False,
            False,
            [
                "servers cluster=oxide",
                "placement groups cluster=oxide",
                "servers",
                "load balancers",
            ],
            {IPv4Address("10.0.1.7"): "web"},
        ),
        (False, True, ["servers cluster=oxide", "placement groups cluster=oxide"], {}),
        (True, True, ["servers cluster=oxide"], {}),
    ],
)
def test_others_in_the_network_are_looked_up_until_a_run_has_begun(
    monkeypatch: pytest.MonkeyPatch,
    own: bool,
    groups: bool,
    asked: list[str],
    strangers: dict[IPv4Address, str],
) -> None:
    project = _Project(own, groups)
    monkeypatch.setattr(catalogue, "Client", lambda **_: project)

    found = Hetzner(token="planted").look(Wanted(cluster_name="oxide", network_id=7))

    assert found is not None
    assert found.network == ExistingNetwork(
        range=IPv4Network("10.0.0.0/16"),
        subnets={IPv4Network("10.0.1.0/24"): "eu-central"},
        has_default_route=True,
        routes={IPv4Network("0.0.0.0/0"): IPv4Address("10.0.200.2")},
        strangers=strangers,
        begun=own or groups,
    )
    assert project.asked == asked


BARE = replace(
    OFFERS,
    servers=frozenset({"oxide-cp-1", "oxide-worker-1"}),
    without_ipv6=frozenset({"oxide-cp-1", "oxide-worker-1"}),
)


def test_an_ipv6_network_that_living_servers_do_not_have_is_not_named() -> None:
    (problem,) = _problems({"rdns": "{name}.example.com"}, BARE)

    assert "oxide:ipv6: true gives oxide-cp-1, oxide-worker-1 no IPv6 network" in problem


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"rdns": "{name}.example.com", "ipv6": "false"},
    ],
)
def test_nothing_is_named_where_no_name_is_wanted(values: Mapping[str, Any]) -> None:
    assert _config(values, BARE).rdns == values.get("rdns")
