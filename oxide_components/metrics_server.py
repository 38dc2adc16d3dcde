"""The metrics-server: what `kubectl top` and autoscalers read."""

from typing import Any

import pulumi
import pulumi_kubernetes as kubernetes

from . import naming
from .addon_values import metrics_server_values
from .certificate_approver import approver_objects
from .cilium_chart import merge
from .component_args import refuse_wrong
from .config_addons import METRICS_SERVER_CHARTS
from .helm_release import ChartArgs, helm_release
from .options import child_options
from .versions import CERTIFICATE_APPROVER_IMAGE, METRICS_SERVER_CHART_VERSION

RELEASE = "metrics-server"
"""Name of the release and of the official chart."""

_CLASSES: dict[str, Any] = {
    "ServiceAccount": kubernetes.core.v1.ServiceAccount,
    "ClusterRole": kubernetes.rbac.v1.ClusterRole,
    "ClusterRoleBinding": kubernetes.rbac.v1.ClusterRoleBinding,
    "Deployment": kubernetes.apps.v1.Deployment,
}


class CertificateApprover(pulumi.ComponentResource):
    """
    Approves the serving certificates that kubelets ask for: kubelet-serving-cert-approver.

    Needs a Kubernetes provider, and a pod network to run on. The nodes' machine configs have to make the kubelets ask
    (`ClusterArgs.kubelet_serving_certificates`).
    """

    def __init__(self, name: str, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__(naming.TYPE_CERTIFICATE_APPROVER, name, {}, opts)
        for manifest in approver_objects(CERTIFICATE_APPROVER_IMAGE):
            fields = {k: v for k, v in manifest.items() if k not in ("apiVersion", "kind")}
            kind = manifest["kind"]
            _CLASSES[kind](
                f"{name}-{kind.lower()}",
                **{{"roleRef": "role_ref"}.get(key, key): value for key, value in fields.items()},
                opts=child_options(self, opts),
            )
        self.register_outputs({})


class MetricsServerArgs(ChartArgs):
    """What metrics-server has to know of the cluster."""

    schedulable_workers: int
    """Workers that take any pod: with two or more there are two pods."""


class MetricsServer(pulumi.ComponentResource):
    """
    The release of the official chart metrics-server.

    Needs a Kubernetes provider, and kubelets with certificates that the cluster has signed (CertificateApprover). The release
    counts as done once its pods have read the first metrics.
    """

    status: pulumi.Output[str]
    """Helm's status of the release: deployed."""

    def __init__(
        self, name: str, args: MetricsServerArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        refuse_wrong("MetricsServer", name, args, MetricsServerArgs)
        super().__init__(naming.TYPE_METRICS_SERVER, name, {}, opts)
        # Served to other languages, whole numbers arrive as floats.
        ours = metrics_server_values(schedulable_workers=int(args["schedulable_workers"]))
        release = helm_release(
            name,
            name=RELEASE,
            version=args.get("version", METRICS_SERVER_CHART_VERSION),
            chart=args.get("chart", RELEASE),
            repository=args.get("repository", METRICS_SERVER_CHARTS),
            values=pulumi.Output.from_input(args.get("values", {})).apply(
                lambda user: merge(ours, user)
            ),
            parent=self,
            parent_opts=opts,
            kubeconfig=args.get("kubeconfig"),
        )
        self.status = release.status.apply(lambda status: status.status if status else "unknown")
        self.register_outputs({"status": self.status})
