"""Cilium, the cluster's network, as a Helm release that belongs to Oxide from the first day on."""

import re
from collections.abc import Mapping, Sequence
from typing import Any, NotRequired, TypedDict

import pulumi
import pulumi_kubernetes as kubernetes

from . import naming
from .component_args import Arguments
from .config_access import read_metadata_access
from .helm_repair import repair_hooks
from .metadata_policy import metadata_policy
from .options import child_options
from .versions import DEFAULT_CILIUM_VERSION, version_problem

RELEASE_TIMEOUT = 900
"""Seconds that Helm may wait for Cilium: nodes pull its images first."""

MAX_HISTORY = 10
"""Revisions that Helm keeps to go back to, failed ones among them: as many as Helm keeps by itself."""

_RELEASE = "cilium"
_OWN_BUILD = re.compile(r"^(\d+\.\d+\.\d+)[-+][0-9A-Za-z.+-]+$")
_NAMESPACE = "kube-system"


class CiliumReleaseArgs(TypedDict):
    """Which Cilium, and how it is set up."""

    version: str
    """Chart version, for example 1.19.6."""
    values: pulumi.Input[Mapping[str, Any]]
    """Values of the chart, as `cilium_values` makes them."""
    chart: NotRequired[str]
    """Chart name, path or oci:// address. Default: cilium."""
    repository: NotRequired[str | None]
    """Chart repository. Default: none, for a path or an oci:// address."""
    timeout: NotRequired[int]
    """Seconds that Helm may wait for Cilium's pods. Default: 900."""
    kubeconfig: NotRequired[pulumi.Input[str] | None]
    """Kubeconfig with which a killed operation of Helm is cleared away first. Default: none; Helm then refuses to go on."""
    metadata_access: NotRequired[Sequence[Mapping[str, Any]]]
    """Pods that may reach Hetzner's metadata service, each by namespace and labels. Default: none."""


class CiliumRelease(pulumi.ComponentResource):
    """
    The release and the policy that keeps pods from the servers' metadata.

    Needs a Kubernetes provider. The release counts as done once Cilium's pods run, so it is also the gate for
    everything that needs a network.
    """

    status: pulumi.Output[str]
    """Helm's status of the release: deployed."""
    values: pulumi.Output[Mapping[str, Any]]
    """The values that the release was given."""

    def __init__(
        self, name: str, args: CiliumReleaseArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        _refuse_wrong(name, args)
        super().__init__(naming.TYPE_CILIUM_RELEASE, name, {}, opts)
        repository = args.get("repository")
        # Served to other languages, whole numbers arrive as floats.
        timeout = int(args.get("timeout", RELEASE_TIMEOUT))
        kubeconfig = args.get("kubeconfig")
        hooks = (
            repair_hooks(name, kubeconfig, namespace=_NAMESPACE, release=_RELEASE, timeout=timeout)
            if kubeconfig
            else None
        )
        release = kubernetes.helm.v3.Release(
            name,
            # An explicit name keeps Helm's history apart from Pulumi's autonaming.
            name=_RELEASE,
            namespace=_NAMESPACE,
            chart=args.get("chart", "cilium"),
            version=args["version"],
            repository_opts=kubernetes.helm.v3.RepositoryOptsArgs(repo=repository)
            if repository
            else None,
            values=args["values"],
            timeout=timeout,
            # A failed first install stays recorded, and the next `up` repairs it.
            atomic=False,
            skip_await=False,
            max_history=MAX_HISTORY,
            opts=child_options(self, opts, hooks=hooks),
        )
        policy = metadata_policy(args.get("metadata_access", ()))
        # The user_data of a server holds its machine config with every key of the cluster.
        for number, rule in enumerate(policy.get("specs") or [policy["spec"]], start=1):
            suffix = "" if number == 1 else f"-{number}"
            kubernetes.apiextensions.CustomResource(
                f"{name}-metadata-policy{suffix}",
                api_version=policy["apiVersion"],
                kind=policy["kind"],
                metadata={"name": f"{policy['metadata']['name']}{suffix}"},
                spec=rule,
                opts=child_options(self, opts, depends_on=[release]),
            )
        self.status = release.status.apply(lambda status: status.status if status else "unknown")
        self.values = pulumi.Output.from_input(args["values"])
        self.register_outputs({"status": self.status, "values": self.values})


def _refuse_wrong(name: str, args: CiliumReleaseArgs) -> None:
    found = Arguments("CiliumRelease", name, args, CiliumReleaseArgs)
    if (version := found.known("version")) is not None:
        # Another chart than Cilium's own may have a version like 1.19.6-fork.1.
        problem = version_problem("version", _OWN_BUILD.sub(r"\1", version), DEFAULT_CILIUM_VERSION)
        found.reader.add_all([problem] if problem else [])
    found.check_integer("timeout", least=1, most=86400)
    read_metadata_access(found.reader, found.known("metadata_access") or ())
    found.refuse()
