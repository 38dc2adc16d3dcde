"""Cilium of a whole cluster: the release, and what the chosen modes need before it."""

from collections.abc import Sequence
from typing import Any

import pulumi
import pulumi_kubernetes as kubernetes

from .cilium_chart import cilium_values
from .cilium_modes import IPSEC_SECRET
from .cilium_release import CiliumRelease, CiliumReleaseArgs
from .config import ClusterConfig
from .gateway_api import GatewayApi, GatewayApiArgs
from .ipsec_key import IpsecKey
from .versions import CILIUM_GATEWAY_API, parse


def declare_cilium(
    config: ClusterConfig,
    kubeconfig: pulumi.Output[str],
    in_cluster: pulumi.ResourceOptions,
    *,
    after: Sequence[pulumi.Resource] = (),
) -> CiliumRelease:
    """
    Declare Cilium.

    Args:
        kubeconfig: Kubeconfig of the cluster.
        in_cluster: Options of everything that Kubernetes keeps.
        after: What has to be there before.
    """
    first = [*after, *_needs(config, kubeconfig, in_cluster)]
    return CiliumRelease(
        "cilium",
        _release_args(config, kubeconfig),
        pulumi.ResourceOptions.merge(in_cluster, pulumi.ResourceOptions(depends_on=first)),
    )


def _needs(
    config: ClusterConfig,
    kubeconfig: pulumi.Output[str],
    in_cluster: pulumi.ResourceOptions,
) -> list[pulumi.Resource]:
    """What Cilium reads when it starts."""
    found: list[pulumi.Resource] = []
    if config.cilium_modes.gateway_api:
        found.append(
            GatewayApi(
                "gateway-api",
                GatewayApiArgs(
                    version=_gateway_api_version(config.cilium_version),
                    kubeconfig=kubeconfig,
                    manifest=config.gateway_api_manifest,
                ),
            )
        )
    if config.cilium_modes.encryption == "ipsec":
        key = IpsecKey("cilium-ipsec-key", key_id=config.ipsec_key_id)
        found.append(
            kubernetes.core.v1.Secret(
                "cilium-ipsec-keys",
                metadata={"name": IPSEC_SECRET, "namespace": "kube-system"},
                string_data={"keys": key.keys},
                opts=in_cluster,
            )
        )
    return found


def _gateway_api_version(cilium: str) -> str:
    version = parse(cilium)
    if version is None:
        raise ValueError(f"{cilium} is not a Cilium version")
    return CILIUM_GATEWAY_API[version.series]


def _release_args(config: ClusterConfig, kubeconfig: pulumi.Output[str]) -> CiliumReleaseArgs:
    values: Any = cilium_values(
        control_plane_count=config.control_planes,
        worker_count=config.untainted_workers,
        network_cidr=str(config.network_cidr),
        pod_cidr=str(config.pod_cidr),
        modes=config.cilium_modes,
        user_values=config.cilium_values,
    )
    if "ciliumValues" in config.secret_keys:
        values = pulumi.Output.secret(values)
    return CiliumReleaseArgs(
        version=config.cilium_version,
        values=values,
        chart=config.cilium_chart,
        repository=config.cilium_repository,
        timeout=config.cilium_timeout,
        kubeconfig=kubeconfig,
        metadata_access=[
            {"namespace": access.namespace, "labels": dict(access.labels)}
            for access in config.metadata_access
        ],
    )
