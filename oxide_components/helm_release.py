"""A Helm release as all add-ons are installed."""

from collections.abc import Mapping
from typing import Any, NotRequired, TypedDict

import pulumi
import pulumi_kubernetes as kubernetes

from .helm_repair import repair_hooks
from .options import child_options

RELEASE_TIMEOUT = 900
"""Seconds that Helm may wait for an add-on's pods: nodes pull images first."""

NAMESPACE = "kube-system"
"""Namespace of all add-ons; the only one whose pods Talos lets use the host's network."""


class ChartArgs(TypedDict):
    """Which chart, and how it is set up."""

    version: NotRequired[str]
    """Chart version. Default: the one that this release of Oxide was tested with."""
    chart: NotRequired[str]
    """Chart name, path or oci:// address. Default: the official chart."""
    repository: NotRequired[str | None]
    """Chart repository; None for a path or an oci:// address. Default: the official repository."""
    values: NotRequired[pulumi.Input[Mapping[str, Any]]]
    """Helm values, merged over Oxide's. Default: none."""
    kubeconfig: NotRequired[pulumi.Input[str] | None]
    """Kubeconfig with which a killed operation of Helm is cleared away first. Default: none; Helm then refuses to go on."""


def helm_release(
    logical_name: str,
    *,
    name: str,
    version: str,
    chart: str,
    repository: str | None,
    values: pulumi.Input[Mapping[str, Any]],
    parent: pulumi.Resource,
    parent_opts: pulumi.ResourceOptions | None,
    kubeconfig: pulumi.Input[str] | None,
    depends_on: list[pulumi.Resource] | None = None,
    skip_await: bool = False,
) -> kubernetes.helm.v3.Release:
    """
    Declare one release in kube-system.

    Args:
        name: The release's own name. An explicit one keeps Helm's history apart from Pulumi's autonaming.
        kubeconfig: Access to the cluster, with which a killed operation of Helm is cleared away first.
        skip_await: Do not wait for its pods.
    """
    hooks = (
        repair_hooks(
            logical_name, kubeconfig, namespace=NAMESPACE, release=name, timeout=RELEASE_TIMEOUT
        )
        if kubeconfig
        else None
    )
    return kubernetes.helm.v3.Release(
        logical_name,
        name=name,
        namespace=NAMESPACE,
        chart=chart,
        version=version,
        repository_opts=kubernetes.helm.v3.RepositoryOptsArgs(repo=repository)
        if repository
        else None,
        values=values,
        timeout=RELEASE_TIMEOUT,
        # A failed first install stays recorded, and the next `up` repairs it.
        atomic=False,
        skip_await=skip_await,
        max_history=5,
        opts=child_options(parent, parent_opts, depends_on=depends_on or [], hooks=hooks),
    )
