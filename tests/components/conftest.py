"""Shared inputs of the component tests."""

from pathlib import Path

import pytest

from oxide_components import ClusterArgs

from .living import Living
from .recording import CLIENT_CONFIGURATION, MACHINE_SECRETS, snake


@pytest.fixture
def cluster() -> ClusterArgs:
    """Facts of a cluster with three control planes."""
    return ClusterArgs(
        name="demo",
        control_plane_addresses=["10.0.0.11", "10.0.0.12", "10.0.0.13"],
        control_subnet_cidr="10.0.0.0/24",
        worker_subnet_cidr="10.0.1.0/24",
        pod_cidr="10.0.16.0/20",
        service_cidr="10.0.8.0/21",
        node_cidr_mask_size=25,
        talos_version="v1.13.9",
        kubernetes_version="1.35.4",
        schematic_id="376567988ad370138ad8b2698212367b8edcb69b5fd68c80be1f2ec7d603b4ba",
        config_contract="v1.13",
        machine_secrets=snake(MACHINE_SECRETS),
    )


@pytest.fixture
def client_configuration() -> dict[str, str]:
    """Talos client credentials."""
    return snake(CLIENT_CONFIGURATION)


@pytest.fixture
def living(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Living:
    """A living cluster, with time that passes only in sleeps."""
    return Living(monkeypatch, tmp_path)
