"""What a worker pool declares."""

from oxide_components import ClusterArgs, WorkerPool, WorkerPoolArgs

from .recording import Recorder, record

SERVER = "hcloud:index/server:Server"
GROUP = "hcloud:index/placementGroup:PlacementGroup"


def _pool(cluster: ClusterArgs, count: int) -> Recorder:
    return record(
        lambda: (
            WorkerPool(
                "db",
                WorkerPoolArgs(
                    cluster=cluster,
                    pool="db",
                    count=count,
                    server_type="cx33",
                    location="nbg1",
                    image_id="4711",
                    subnet_id="1-10.0.1.0/24",
                    firewall_ids=[77],
                    labels={"tier": "db"},
                    taints=[{"key": "dedicated", "value": "db", "effect": "NoSchedule"}],
                ),
            )
            and None
        )
    )


def test_a_pool_has_one_server_per_worker_and_one_group_per_ten(cluster: ClusterArgs) -> None:
    recorder = _pool(cluster, 11)

    assert recorder.children_of("db") == sorted(
        [(GROUP, "db-group-1"), (GROUP, "db-group-2")]
        + [(SERVER, f"db-{index}") for index in range(1, 12)]
    )
    groups = {r.inputs["name"]: r for r in recorder.of_type(GROUP)}
    assert set(groups) == {"demo-db-1", "demo-db-2"}
    first, eleventh = recorder.named("db-1", SERVER), recorder.named("db-11", SERVER)
    assert first.dependencies == ["db-group-1"]
    assert eleventh.dependencies == ["db-group-2"]


def test_an_empty_pool_makes_nothing(cluster: ClusterArgs) -> None:
    assert _pool(cluster, 0).children_of("db") == []


def test_growing_a_pool_changes_no_worker_that_exists(cluster: ClusterArgs) -> None:
    def servers(count: int) -> dict[str, dict[str, object]]:
        # Ids of groups are the mocks' own counters.
        return {
            r.name: {k: v for k, v in r.inputs.items() if k != "placementGroupId"}
            for r in _pool(cluster, count).of_type(SERVER)
        }

    small, large = servers(2), servers(5)
    assert {name: large[name] for name in small} == small


def test_no_setting_of_a_live_worker_can_replace_or_power_off_its_server(
    cluster: ClusterArgs,
) -> None:
    server = _pool(cluster, 1).named("db-1", SERVER)

    assert sorted(server.ignore_changes) == [
        "image",
        "location",
        "publicNets",
        "serverType",
        "sshKeys",
        "userData",
    ]
    assert server.delete_before_replace
    assert not server.protect


def test_a_worker_is_firewalled_and_labelled_from_its_first_second(cluster: ClusterArgs) -> None:
    server = _pool(cluster, 1).named("db-1", SERVER)

    assert server.inputs["name"] == "demo-db-1"
    assert server.inputs["firewallIds"] == [77]
    assert server.inputs["labels"] == {
        "cluster": "demo",
        "managed-by": "oxide",
        "role": "worker",
        "pool": "db",
        "index": "1",
    }
    assert server.inputs["networks"] == [{"subnetId": "1-10.0.1.0/24"}]


def test_user_data_of_a_worker_is_secret(cluster: ClusterArgs) -> None:
    assert "userData" in _pool(cluster, 1).named("db-1", SERVER).secret_inputs
