"""Kubernetes objects of kubelet-serving-cert-approver: the approver of kubelets' serving certificates."""

from typing import Any, Final

from .addon_values import CONTROL_PLANE
from .helm_release import NAMESPACE

NAME: Final = "kubelet-serving-cert-approver"
"""Name of all its objects."""

_LABELS: Final = {"app.kubernetes.io/name": NAME}

_RULES: Final = [
    {
        "apiGroups": ["certificates.k8s.io"],
        "resources": ["certificatesigningrequests"],
        "verbs": ["get", "list", "watch"],
    },
    {
        "apiGroups": ["certificates.k8s.io"],
        "resources": ["certificatesigningrequests/approval"],
        "verbs": ["update"],
    },
    # No other signer: its approval would let anybody become a node.
    {
        "apiGroups": ["certificates.k8s.io"],
        "resources": ["signers"],
        "resourceNames": ["kubernetes.io/kubelet-serving"],
        "verbs": ["approve"],
    },
    {
        "apiGroups": ["authorization.k8s.io"],
        "resources": ["subjectaccessreviews"],
        "verbs": ["create"],
    },
    {"apiGroups": [""], "resources": ["events"], "verbs": ["create", "patch"]},
]


def approver_objects(image: str) -> list[dict[str, Any]]:
    """
    All objects, in the order in which they can be made.

    The project has no chart; these are its manifests (deploy/ of alex1989hu/kubelet-serving-cert-approver) as far as they
    matter here, in the namespace of all add-ons.
    """
    return [
        _object("v1", "ServiceAccount", namespaced=True),
        {**_object("rbac.authorization.k8s.io/v1", "ClusterRole"), "rules": _RULES},
        {
            **_object("rbac.authorization.k8s.io/v1", "ClusterRoleBinding"),
            "roleRef": {
                "apiGroup": "rbac.authorization.k8s.io",
                "kind": "ClusterRole",
                "name": NAME,
            },
            "subjects": [{"kind": "ServiceAccount", "name": NAME, "namespace": NAMESPACE}],
        },
        {
            **_object("apps/v1", "Deployment", namespaced=True),
            "spec": {
                "replicas": 1,
                "selector": {"matchLabels": dict(_LABELS)},
                "template": {"metadata": {"labels": dict(_LABELS)}, "spec": _pod(image)},
            },
        },
    ]


def _object(api_version: str, kind: str, *, namespaced: bool = False) -> dict[str, Any]:
    metadata: dict[str, Any] = {"name": NAME, "labels": dict(_LABELS)}
    if namespaced:
        metadata["namespace"] = NAMESPACE
    return {"apiVersion": api_version, "kind": kind, "metadata": metadata}


def _pod(image: str) -> dict[str, Any]:
    return {
        "serviceAccountName": NAME,
        "priorityClassName": "system-cluster-critical",
        "securityContext": {
            "runAsUser": 65534,
            "runAsGroup": 65534,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "tolerations": [{"key": CONTROL_PLANE, "operator": "Exists", "effect": "NoSchedule"}],
        "containers": [
            {
                "name": "approver",
                "image": image,
                "args": ["serve"],
                "env": [
                    {
                        "name": "NAMESPACE",
                        "valueFrom": {"fieldRef": {"fieldPath": "metadata.namespace"}},
                    }
                ],
                "ports": [{"name": "health", "containerPort": 8080}],
                "livenessProbe": {"httpGet": {"path": "/healthz", "port": "health"}},
                "readinessProbe": {"httpGet": {"path": "/readyz", "port": "health"}},
                "resources": {
                    "requests": {"cpu": "10m", "memory": "16Mi"},
                    "limits": {"memory": "32Mi"},
                },
                "securityContext": {
                    "allowPrivilegeEscalation": False,
                    "capabilities": {"drop": ["ALL"]},
                    "readOnlyRootFilesystem": True,
                    "runAsNonRoot": True,
                },
            }
        ],
    }
