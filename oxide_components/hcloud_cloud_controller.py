"""Hetzner's cloud controller manager: node addresses, load balancers of Services, routes of pods."""

from typing import NotRequired

import pulumi

from . import naming
from .addon_values import cloud_controller_values
from .cilium_chart import merge
from .component_args import refuse_wrong
from .config_addons import HCLOUD_CHARTS
from .helm_release import ChartArgs, helm_release
from .versions import HCLOUD_CCM_CHART_VERSION

RELEASE = "hcloud-cloud-controller-manager"
"""Name of the release and of the official chart."""


class HcloudCloudControllerArgs(ChartArgs):
    """
    What the controller has to know of the cluster.

    The nodes' machine configs have to have the external cloud provider on (`ClusterArgs.external_cloud_provider`).
    """

    secret_name: pulumi.Input[str]
    """Secret in kube-system with the keys token and network, as HcloudCredentials makes it."""
    fingerprint: pulumi.Input[str]
    """Text that differs between two tokens, so that pods get a changed one."""
    control_plane_count: int
    """Number of control planes, on which it runs: one pod on one, else two."""
    pod_cidr: str
    """Range of pod addresses."""
    subnet_cidr: str
    """Subnet of the network that load balancers are attached to."""
    location: str
    """Hetzner location of load balancers whose Service names none."""
    pod_routes: NotRequired[bool]
    """Keep a route to each node's pods in the network, for native routing. Default: false."""
    endpoint: NotRequired[str | None]
    """Address of Hetzner's API. Default: the real one."""


class HcloudCloudController(pulumi.ComponentResource):
    """
    The release of the official chart hcloud-cloud-controller-manager.

    Needs a Kubernetes provider. It is not waited for: it comes before the CNI, which must not start before it is there,
    because new nodes take no ordinary pod until the controller has initialised them.
    """

    status: pulumi.Output[str]
    """Helm's status of the release: deployed."""

    def __init__(
        self, name: str, args: HcloudCloudControllerArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        refuse_wrong("HcloudCloudController", name, args, HcloudCloudControllerArgs)
        super().__init__(naming.TYPE_HCLOUD_CLOUD_CONTROLLER, name, {}, opts)
        values = pulumi.Output.all(
            secret_name=args["secret_name"],
            fingerprint=args["fingerprint"],
            user=args.get("values", {}),
        ).apply(
            lambda known: merge(
                cloud_controller_values(
                    # Served to other languages, whole numbers arrive as floats.
                    control_plane_count=int(args["control_plane_count"]),
                    pod_cidr=args["pod_cidr"],
                    subnet_cidr=args["subnet_cidr"],
                    location=args["location"],
                    pod_routes=args.get("pod_routes", False),
                    secret_name=known["secret_name"],
                    credentials=known["fingerprint"],
                    endpoint=args.get("endpoint"),
                ),
                known["user"],
            )
        )
        release = helm_release(
            name,
            name=RELEASE,
            version=args.get("version", HCLOUD_CCM_CHART_VERSION),
            chart=args.get("chart", RELEASE),
            repository=args.get("repository", HCLOUD_CHARTS),
            values=values,
            parent=self,
            parent_opts=opts,
            kubeconfig=args.get("kubeconfig"),
            skip_await=True,
        )
        self.status = release.status.apply(lambda status: status.status if status else "unknown")
        self.register_outputs({"status": self.status})
