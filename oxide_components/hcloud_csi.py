"""Hetzner's CSI driver: volumes for claims."""

from typing import NotRequired

import pulumi
import pulumi_kubernetes as kubernetes

from . import naming
from .addon_values import ENCRYPTION_SECRET, PASSPHRASE_KEY, csi_values
from .cilium_chart import merge
from .component_args import refuse_wrong
from .config_addons import HCLOUD_CHARTS, VOLUMES
from .helm_release import NAMESPACE, ChartArgs, helm_release
from .options import child_options
from .passphrase import Passphrase
from .versions import HCLOUD_CSI_CHART_VERSION

RELEASE = "hcloud-csi"
"""Name of the release and of the official chart."""


class HcloudCsiArgs(ChartArgs):
    """What the driver has to know of the cluster."""

    secret_name: pulumi.Input[str]
    """Secret in kube-system with the key token, as HcloudCredentials makes it."""
    fingerprint: pulumi.Input[str]
    """Text that differs between two tokens, so that pods get a changed one."""
    cluster_name: str
    """Name of the cluster: a label of its volumes."""
    network_id: pulumi.Input[int]
    """Id of the cluster's network: a label of its volumes."""
    control_plane_count: int
    """Number of control planes, on which the controller runs: one pod on one, else two."""
    location: str
    """Hetzner location of volumes that no pod has asked for yet."""
    encrypted_storage_class: NotRequired[bool]
    """Add the storage class hcloud-volumes-encrypted. Default: false."""
    default_storage_class: NotRequired[str | None]
    """Class of claims that name none; None for none. Default: hcloud-volumes."""
    endpoint: NotRequired[str | None]
    """Address of Hetzner's API. Default: the real one."""


class HcloudCsi(pulumi.ComponentResource):
    """
    The release of the official chart hcloud-csi, and the passphrase of encrypted volumes.

    Needs a Kubernetes provider. The release counts as done once its pods run.
    """

    status: pulumi.Output[str]
    """Helm's status of the release: deployed."""

    def __init__(
        self, name: str, args: HcloudCsiArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        refuse_wrong("HcloudCsi", name, args, HcloudCsiArgs)
        super().__init__(naming.TYPE_HCLOUD_CSI, name, {}, opts)
        encrypted = args.get("encrypted_storage_class", False)
        values = pulumi.Output.all(
            network_id=args["network_id"],
            secret_name=args["secret_name"],
            fingerprint=args["fingerprint"],
            user=args.get("values", {}),
        ).apply(
            lambda known: merge(
                csi_values(
                    cluster_name=args["cluster_name"],
                    # Served to other languages, whole numbers arrive as floats.
                    network_id=str(int(known["network_id"])),
                    control_plane_count=int(args["control_plane_count"]),
                    location=args["location"],
                    secret_name=known["secret_name"],
                    credentials=known["fingerprint"],
                    encrypted_storage_class=encrypted,
                    default_storage_class=args.get("default_storage_class", VOLUMES),
                    endpoint=args.get("endpoint"),
                ),
                known["user"],
            )
        )
        before = [self._passphrase(name, opts)] if encrypted else []
        release = helm_release(
            name,
            name=RELEASE,
            version=args.get("version", HCLOUD_CSI_CHART_VERSION),
            chart=args.get("chart", RELEASE),
            repository=args.get("repository", HCLOUD_CHARTS),
            values=values,
            parent=self,
            parent_opts=opts,
            kubeconfig=args.get("kubeconfig"),
            depends_on=before,
        )
        self.status = release.status.apply(lambda status: status.status if status else "unknown")
        self.register_outputs({"status": self.status})

    def _passphrase(self, name: str, opts: pulumi.ResourceOptions | None) -> pulumi.Resource:
        passphrase = Passphrase(f"{name}-passphrase", opts=child_options(self, opts))
        secret: pulumi.Resource = kubernetes.core.v1.Secret(
            f"{name}-encryption",
            metadata={"name": ENCRYPTION_SECRET, "namespace": NAMESPACE},
            string_data={PASSPHRASE_KEY: passphrase.value},
            opts=child_options(
                self,
                opts,
                additional_secret_outputs=["data", "stringData"],
                delete_before_replace=True,
            ),
        )
        return secret
