"""What a destroy clears at Hetzner, and what it leaves alone."""

from types import SimpleNamespace
from typing import Any

import pytest
from hcloud import APIException

from oxide_components import cloud_cleanup
from oxide_components.cloud_cleanup import CloudCleanupProvider
from oxide_components.errors import OxideError

PROPS: dict[str, Any] = {
    "cluster_name": "demo",
    "network_id": "7",
    "subnets": ["10.0.0.0/24", "10.0.1.0/24"],
    "pod_cidr": "10.0.16.0/20",
    "delete_volumes": False,
    "urn": "urn",
}


class Cloud:
    """Hetzner with objects of this cluster and of others in the same network."""

    def __init__(self) -> None:
        self.deleted: list[str] = []
        self.protected: set[str] = set()
        self.alive: list[Any] = []
        self.volume_objects = [self.thing("pvc-1", size=12, server=None, id=21)]
        self.balancer_objects = [
            self.balancer("ours", 7, "10.0.1.9"),
            self.balancer("other-subnet", 7, "10.0.3.9"),
            self.balancer("other-network", 8, "10.0.1.9"),
        ]
        self.selectors: list[str] = []
        self.networks = SimpleNamespace(get_by_id=self._network)
        self.servers = SimpleNamespace(get_all=lambda **_: self.alive)
        self.load_balancers = SimpleNamespace(get_all=self._listed(self.balancer_objects))
        self.volumes = SimpleNamespace(
            get_all=self._listed(self.volume_objects), get_by_id=lambda _: self.volume_objects[0]
        )
        self.network_exists = True

    def thing(self, name: str, **fields: Any) -> Any:
        def delete() -> None:
            if name in self.protected:
                raise APIException("protected", "the resource is protected", {})
            self.deleted.append(name)

        return SimpleNamespace(name=name, delete=delete, **fields)

    def balancer(self, name: str, network: int, address: str) -> Any:
        link = SimpleNamespace(network=SimpleNamespace(id=network), ip=address)
        return self.thing(name, id=31, private_net=[link])

    def _listed(self, objects: list[Any]) -> Any:
        def get_all(*, label_selector: str) -> list[Any]:
            self.selectors.append(label_selector)
            return objects

        return get_all

    def _network(self, network_id: int) -> Any:
        assert network_id == 7
        if not self.network_exists:
            raise APIException("not_found", "no such network", {})

        def delete_route(route: Any) -> Any:
            self.deleted.append(route.destination)
            return SimpleNamespace(wait_until_finished=lambda: None)

        routes = [SimpleNamespace(destination=one) for one in ("10.0.16.128/25", "192.168.0.0/24")]
        return SimpleNamespace(routes=routes, delete_route=delete_route)


@pytest.fixture
def cloud(monkeypatch: pytest.MonkeyPatch) -> Cloud:
    made = Cloud()
    monkeypatch.setattr(cloud_cleanup, "client", lambda: made)
    monkeypatch.setattr(cloud_cleanup, "GONE_TIMEOUT", 0.0)
    return made


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    lines: list[str] = []
    for name in ("log_info", "log_warning", "log_progress"):
        monkeypatch.setattr(cloud_cleanup, name, lambda _urn, text: lines.append(text))
    return lines


def destroy(**changes: Any) -> None:
    CloudCleanupProvider().delete("demo", {**PROPS, **changes})


def test_only_what_lies_in_the_clusters_own_subnets_goes(cloud: Cloud, said: list[str]) -> None:
    destroy()

    assert cloud.deleted == ["ours", "10.0.16.128/25"]
    assert cloud.selectors == ["hcloud-ccm/service-uid", "cluster=demo,network=7"]
    (kept,) = (line for line in said if "volume" in line)
    assert "pvc-1 (12 GB)" in kept
    assert "hcloud volume delete 21" in kept


def test_volumes_go_where_that_is_wanted(cloud: Cloud, said: list[str]) -> None:
    destroy(delete_volumes=True)

    assert "pvc-1" in cloud.deleted


def test_a_server_that_nobody_stands_for_is_named_and_the_next_destroy_clears_the_rest(
    cloud: Cloud, said: list[str]
) -> None:
    link = SimpleNamespace(network=SimpleNamespace(id=7))
    cloud.alive = [SimpleNamespace(name="demo-worker-3", private_net=[link])]

    with pytest.raises(OxideError, match="`hcloud server delete demo-worker-3`"):
        destroy(delete_volumes=True)

    assert cloud.deleted == []
    cloud.alive = []
    destroy(delete_volumes=True)
    assert cloud.deleted


def test_a_server_that_is_still_listed_for_a_moment_holds_nothing_up(
    cloud: Cloud, said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    link = SimpleNamespace(network=SimpleNamespace(id=7))
    cloud.alive = [SimpleNamespace(name="demo-worker-3", private_net=[link])]
    monkeypatch.setattr(cloud_cleanup, "GONE_TIMEOUT", 60.0)
    monkeypatch.setattr("time.sleep", lambda _seconds: cloud.alive.clear())

    destroy()

    assert "ours" in cloud.deleted


def test_the_passphrase_of_kept_volumes_is_to_be_saved_before_it_goes(
    cloud: Cloud, said: list[str]
) -> None:
    encrypted = {**PROPS, "encrypted_volumes": True}
    CloudCleanupProvider().read("demo", encrypted)
    assert (
        "get secret hcloud-csi-encryption -o jsonpath='{.data.encryption-passphrase}'" in said[-1]
    )

    said.clear()
    destroy(encrypted_volumes=True)
    assert "take it out of a backup of the state" in said[-1]

    said.clear()
    CloudCleanupProvider().read("demo", {**encrypted, "delete_volumes": True})
    destroy(encrypted_volumes=True, delete_volumes=True)
    assert not [line for line in said if "passphrase" in line]


def test_a_protected_object_is_named_with_the_way_out_and_the_others_go(
    cloud: Cloud, said: list[str]
) -> None:
    cloud.protected = {"ours"}

    with pytest.raises(OxideError, match=r"hcloud load-balancer disable-protection 31 delete"):
        destroy(delete_volumes=True)

    assert "pvc-1" in cloud.deleted


def test_a_network_that_is_gone_is_no_obstacle(cloud: Cloud, said: list[str]) -> None:
    cloud.network_exists = False

    destroy(delete_volumes=True)

    assert "pvc-1" in cloud.deleted


def test_a_refresh_says_what_a_destroy_would_do_and_never_fails(
    cloud: Cloud, said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    provider = CloudCleanupProvider()

    assert provider.read("demo", PROPS).outs == PROPS
    assert said == [
        "load balancer ours will be deleted with the cluster",
        "volume pvc-1 (12 GB) will be kept (deleteVolumes)",
    ]
    assert cloud.deleted == []

    def fail() -> Any:
        raise OxideError("no token")

    monkeypatch.setattr(cloud_cleanup, "client", fail)
    assert provider.read("demo", PROPS).outs == PROPS
