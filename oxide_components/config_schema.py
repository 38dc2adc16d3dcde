"""The settings of a stack: their keys, types and defaults. Pulumi.yaml and the documentation are tested against this table."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from .firewall_rules import DEFAULT_WORKER_INGRESS_PORTS
from .versions import (
    DEFAULT_CILIUM_VERSION,
    DEFAULT_KUBERNETES_VERSION,
    DEFAULT_SCHEMATIC_ID,
    DEFAULT_TALOS_VERSION,
)

Kind = Literal["string", "integer", "boolean", "array", "object"]

CILIUM_REPOSITORY: Final = "https://helm.cilium.io"
"""Helm repository of the official Cilium chart."""

DEFAULT_IMAGE_SELECTOR: Final = "os=talos"
"""Labels by which the Talos snapshot is found when no `imageId` is given."""


@dataclass(frozen=True, kw_only=True)
class Setting:
    """One configuration key of the project's namespace."""

    key: str
    kind: Kind
    default: str | int | bool | tuple[int, ...] | None = None
    """Value when the stack sets none. None: empty, or worked out from other settings or the cloud."""
    may_be_secret: bool = False
    """Whether a stack may store the value encrypted; all other values appear in names, plans and messages."""


SETTINGS: Final = (
    Setting(key="clusterName", kind="string"),
    Setting(key="location", kind="string", default="nbg1"),
    Setting(key="networkZone", kind="string"),
    Setting(key="controlPlanes", kind="integer", default=3),
    Setting(key="controlPlaneLocations", kind="array"),
    Setting(key="controlPlaneServerType", kind="string", default="cx33"),
    Setting(key="workers", kind="integer", default=2),
    Setting(key="workerServerType", kind="string", default="cx33"),
    Setting(key="workersGeneration", kind="integer", default=1),
    Setting(key="workerPools", kind="array", may_be_secret=True),
    Setting(key="networkCidr", kind="string", default="10.0.0.0/21"),
    Setting(key="controlSubnetCidr", kind="string", default="10.0.0.0/24"),
    Setting(key="workerSubnetCidr", kind="string", default="10.0.1.0/24"),
    Setting(key="podCidr", kind="string", default="10.0.16.0/20"),
    Setting(key="serviceCidr", kind="string", default="10.0.8.0/21"),
    Setting(key="nodeCidrMaskSize", kind="integer", default=25),
    Setting(key="talosVersion", kind="string", default=DEFAULT_TALOS_VERSION),
    Setting(key="kubernetesVersion", kind="string", default=DEFAULT_KUBERNETES_VERSION),
    Setting(key="ciliumVersion", kind="string", default=DEFAULT_CILIUM_VERSION),
    Setting(key="configContract", kind="string"),
    Setting(key="schematicId", kind="string", default=DEFAULT_SCHEMATIC_ID),
    Setting(key="imageId", kind="integer"),
    Setting(key="imageSelector", kind="string"),
    Setting(key="ciliumChart", kind="string", default="cilium"),
    Setting(key="ciliumRepository", kind="string"),
    Setting(key="ciliumTimeout", kind="integer", default=900),
    Setting(key="ciliumValues", kind="object", may_be_secret=True),
    Setting(key="routingMode", kind="string", default="tunnel"),
    Setting(key="encryption", kind="string", default="none"),
    Setting(key="ipsecKeyId", kind="integer", default=1),
    Setting(key="hubble", kind="string", default="metrics"),
    Setting(key="gatewayApi", kind="boolean", default=False),
    Setting(key="gatewayApiManifest", kind="string"),
    Setting(key="egressGateway", kind="boolean", default=False),
    Setting(key="bandwidthManager", kind="boolean", default=False),
    Setting(key="nodeIpam", kind="boolean", default=False),
    Setting(key="adminCidrs", kind="array"),
    Setting(key="allowPublicApi", kind="boolean", default=False),
    Setting(key="apiHostname", kind="string"),
    Setting(key="workerIngressPorts", kind="array", default=DEFAULT_WORKER_INGRESS_PORTS),
    Setting(key="extraFirewallRules", kind="array"),
    Setting(key="apiLoadBalancer", kind="string", default="none"),
    Setting(key="apiLoadBalancerType", kind="string", default="lb11"),
    Setting(key="access", kind="string", default="public"),
    Setting(key="workerAccess", kind="string"),
    Setting(key="natGateway", kind="string"),
    Setting(key="existingNatRoute", kind="boolean", default=False),
    Setting(key="ipv6", kind="boolean", default=True),
    Setting(key="rdns", kind="string"),
    Setting(key="networkId", kind="integer"),
    Setting(key="metadataAccess", kind="array"),
    Setting(key="configPatches", kind="array", may_be_secret=True),
    Setting(key="controlPlaneConfigPatches", kind="array", may_be_secret=True),
    Setting(key="workerConfigPatches", kind="array", may_be_secret=True),
    Setting(key="maxUnavailable", kind="integer", default=1),
    Setting(key="skipNodes", kind="array"),
    Setting(key="drainTimeout", kind="integer", default=600),
    Setting(key="nodeTimeout", kind="integer", default=900),
    Setting(key="upgradeCanary", kind="array"),
    Setting(key="upgradePause", kind="boolean", default=False),
    Setting(key="etcdSnapshotDirectory", kind="string", default="etcd-snapshots"),
    Setting(key="etcdSnapshotBucket", kind="object", may_be_secret=True),
    Setting(key="restoreFrom", kind="string"),
    Setting(key="addons", kind="object", may_be_secret=True),
    Setting(key="deleteVolumes", kind="boolean", default=False),
    Setting(key="deletionProtection", kind="boolean", default=True),
)

SETTINGS_BY_KEY: Final = {setting.key: setting for setting in SETTINGS}

POOL_KEYS: Final = (
    "name",
    "count",
    "serverType",
    "location",
    "generation",
    "labels",
    "taints",
    "annotations",
    "configPatches",
)
"""Keys of an entry of `workerPools`."""

TAINT_KEYS: Final = ("key", "value", "effect")
"""Keys of an entry of a pool's `taints`."""

FIREWALL_RULE_KEYS: Final = (
    "description",
    "direction",
    "protocol",
    "port",
    "sourceCidrs",
    "destinationCidrs",
    "role",
)
"""Keys of an entry of `extraFirewallRules`."""

METADATA_ACCESS_KEYS: Final = ("namespace", "labels")
"""Keys of an entry of `metadataAccess`."""

BUCKET_KEYS: Final = ("endpoint", "bucket", "region", "prefix", "accessKey", "secretKey")
"""Keys of `etcdSnapshotBucket`."""

CHART_KEYS: Final = ("version", "values", "chart", "repository")
"""Keys of an add-on in `addons` that is given as a mapping."""

CSI_KEYS: Final = (*CHART_KEYS, "encryptedStorageClass", "defaultStorageClass")
"""Keys of `addons.csi`."""

ADDON_KEYS: Final = ("cloudController", "csi", "metricsServer")
"""Keys of `addons`."""
