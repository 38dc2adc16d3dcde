"""Helm values of the add-ons. Pure functions; the values of the user are merged over what they return."""

from collections.abc import Mapping
from typing import Any, Final

from .config_addons import ENCRYPTED_VOLUMES, POD_ROUTES, VOLUMES
from .kubeprism import KUBEPRISM_HOST, KUBEPRISM_PORT
from .naming import LABEL_CLUSTER, LABEL_NETWORK

CONTROL_PLANE: Final = "node-role.kubernetes.io/control-plane"
"""Label and taint of control planes."""

CREDENTIALS_ANNOTATION: Final = "oxide/credentials"
"""Annotation of pods that read the token when they start; another token gives it another value, and they start anew."""

ENCRYPTION_SECRET: Final = "hcloud-csi-encryption"
"""Secret in kube-system with the passphrase of encrypted volumes."""

PASSPHRASE_KEY: Final = "encryption-passphrase"
"""Key in that secret, as the driver reads it (docs/kubernetes/guides/encrypted-volumes.md of hetznercloud/csi-driver)."""

_ON_CONTROL_PLANES: Final = {
    "nodeSelector": {CONTROL_PLANE: ""},
    "tolerations": [{"key": CONTROL_PLANE, "operator": "Exists", "effect": "NoSchedule"}],
}


def cloud_controller_values(
    *,
    control_plane_count: int,
    pod_cidr: str,
    subnet_cidr: str,
    location: str,
    pod_routes: bool,
    secret_name: str,
    credentials: str,
    endpoint: str | None = None,
) -> dict[str, Any]:
    """
    Values of chart hcloud-cloud-controller-manager.

    Args:
        subnet_cidr: Subnet that load balancers are attached to. A destroy knows them by it, also in a shared network.
        pod_routes: Keep a route for every node's pods in the network, which native routing lives on.
        secret_name: Secret in the release's namespace with the keys token and network.
        credentials: Text that differs between two tokens and tells neither.
        endpoint: Address of Hetzner's API; None for the real one.
    """
    environment: dict[str, str] = {
        # Before the CNI runs, nobody can reach the kubernetes service.
        "KUBERNETES_SERVICE_HOST": KUBEPRISM_HOST,
        "KUBERNETES_SERVICE_PORT": str(KUBEPRISM_PORT),
        POD_ROUTES: _text(pod_routes),
        "HCLOUD_LOAD_BALANCERS_LOCATION": location,
        "HCLOUD_LOAD_BALANCERS_TYPE": "lb11",
        # The firewalls admit nothing else to the nodes than what comes through the network.
        "HCLOUD_LOAD_BALANCERS_USE_PRIVATE_IP": "true",
        # A service would publish its private address in DNS beside the public one.
        "HCLOUD_LOAD_BALANCERS_DISABLE_PRIVATE_INGRESS": "true",
        "HCLOUD_LOAD_BALANCERS_PRIVATE_SUBNET_IP_RANGE": subnet_cidr,
    }
    if endpoint:
        environment["HCLOUD_ENDPOINT"] = endpoint
    return {
        "replicaCount": min(2, control_plane_count),
        "networking": {
            # With it the controller runs in the host's network.
            "enabled": True,
            "clusterCIDR": pod_cidr,
            "network": _from_secret(secret_name, "network"),
        },
        "env": {
            "HCLOUD_TOKEN": _from_secret(secret_name, "token"),
            **{name: {"value": value} for name, value in environment.items()},
        },
        "nodeSelector": {CONTROL_PLANE: ""},
        "additionalTolerations": [
            # Nodes are not ready until Cilium runs, which comes after.
            {"key": "node.kubernetes.io/not-ready", "operator": "Exists", "effect": "NoSchedule"}
        ],
        # Its port is the host's: beside the old pod, a new one would find no node.
        "strategy": {
            "type": "RollingUpdate",
            "rollingUpdate": {"maxSurge": 0, "maxUnavailable": 1},
        },
        "podAnnotations": {CREDENTIALS_ANNOTATION: credentials},
    }


def csi_values(
    *,
    cluster_name: str,
    network_id: str,
    control_plane_count: int,
    location: str,
    secret_name: str,
    credentials: str,
    encrypted_storage_class: bool = False,
    default_storage_class: str | None = VOLUMES,
    endpoint: str | None = None,
) -> dict[str, Any]:
    """
    Values of chart hcloud-csi.

    Args:
        network_id: Network of the cluster. With its name it labels the volumes, by which a destroy finds them.
        location: Where volumes of unused claims are made; with a pod they are made where that runs.
        secret_name: Secret in the release's namespace with the key token.
        credentials: Text that differs between two tokens and tells neither.
        encrypted_storage_class: Add a storage class of encrypted volumes, whose passphrase is in `ENCRYPTION_SECRET`.
        default_storage_class: Class of claims that name none; None leaves such claims without one.
        endpoint: Address of Hetzner's API; None for the real one.
    """
    annotations = {CREDENTIALS_ANNOTATION: credentials}
    environment = [{"name": "HCLOUD_ENDPOINT", "value": endpoint}] if endpoint else []
    replicas = min(2, control_plane_count)
    classes: list[dict[str, Any]] = [_storage_class(VOLUMES, default_storage_class)]
    if encrypted_storage_class:
        encrypted = _storage_class(ENCRYPTED_VOLUMES, default_storage_class)
        # The driver opens the volume while it publishes it.
        encrypted["extraParameters"] = {
            "csi.storage.k8s.io/node-publish-secret-name": ENCRYPTION_SECRET,
            "csi.storage.k8s.io/node-publish-secret-namespace": "kube-system",
        }
        classes.append(encrypted)
    return {
        "controller": {
            **_ON_CONTROL_PLANES,
            "replicaCount": replicas,
            # The budget of a single pod would keep its node from ever being drained.
            "podDisruptionBudget": {"create": replicas > 1},
            "hcloudToken": {"existingSecret": {"name": secret_name, "key": "token"}},
            "hcloudVolumeDefaultLocation": location,
            "volumeExtraLabels": {LABEL_CLUSTER: cluster_name, LABEL_NETWORK: network_id},
            "podAnnotations": annotations,
            "extraEnvVars": environment,
        },
        "node": {
            # It asks the metadata service which server it runs on, and that is closed to the pod network.
            "hostNetwork": True,
            # Claims must work on tainted nodes, too.
            "tolerations": [{"operator": "Exists"}],
        },
        "storageClasses": classes,
    }


def metrics_server_values(*, schedulable_workers: int) -> dict[str, Any]:
    """
    Values of chart metrics-server, which verifies the kubelets' certificates by default.

    Args:
        schedulable_workers: Workers that take any pod.
    """
    replicas = 2 if schedulable_workers > 1 else 1
    return {
        "replicas": replicas,
        "podDisruptionBudget": {"enabled": replicas > 1, "minAvailable": 1},
    }


def _from_secret(name: str, key: str) -> Mapping[str, Any]:
    return {"valueFrom": {"secretKeyRef": {"name": name, "key": key}}}


def _storage_class(name: str, default: str | None) -> dict[str, Any]:
    return {"name": name, "defaultStorageClass": name == default, "reclaimPolicy": "Delete"}


def _text(value: bool) -> str:
    return "true" if value else "false"
