"""Components in somebody else's project."""

import shutil
from pathlib import Path

import pytest

from lab.instance import Lab

from .stacks import Stack

ROOT = Path(__file__).parents[2]


def test_a_project_of_its_own_uses_firewall_and_worker_pool_alone(
    lab: Lab, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    project = tmp_path / "importing"
    shutil.copytree(Path(__file__).parent / "importing", project)
    # The package is installed there; the checkout is not on the path of this project.
    (project / ".venv").symlink_to(ROOT / ".venv")
    stack = Stack(lab, project, "own")
    request.addfinalizer(stack.discard)
    stack.create({})

    stack.up()

    servers = stack.cloud.servers.get_all(label_selector="cluster=own")
    assert sorted(server.name for server in servers) == ["own-batch-1", "own-batch-2"]
    assert all(
        [entry.firewall.name for entry in server.public_net.firewalls] == ["own-worker"]
        for server in servers
    )
    assert stack.outputs() == {"names": ["own-batch-1", "own-batch-2"]}
    assert stack.up().changes == {}
    stack.destroy()
    assert stack.cloud_objects() == {}
