"""What Cilium's agents on a lab are told, and definitions of the Gateway API for them."""

import json
from pathlib import Path

import yaml

from .stacks import Stack

_GATEWAY_KINDS = {
    "GatewayClass": "gatewayclasses",
    "Gateway": "gateways",
    "GRPCRoute": "grpcroutes",
    "HTTPRoute": "httproutes",
    "ReferenceGrant": "referencegrants",
    "TLSRoute": "tlsroutes",
}

GATEWAY_DEFINITIONS = sorted(
    f"{plural}.gateway.networking.k8s.io" for plural in _GATEWAY_KINDS.values()
)
"""Names of what `gateway_manifest` defines."""


def agent_config(stack: Stack) -> dict[str, str]:
    """Options of the agents, as the chart has rendered them into the cluster."""
    found = stack.kubectl("-n", "kube-system", "get", "configmap", "cilium-config", "-o", "json")
    return dict(json.loads(found)["data"])


def gateway_manifest(folder: Path) -> Path:
    """A file with the kinds of the Gateway API, whose objects may hold anything: the official ones cannot be had everywhere."""
    file = folder / "gateway-api.yaml"
    file.write_text(yaml.safe_dump_all(map(_definition, _GATEWAY_KINDS)))
    return file


def _definition(kind: str) -> dict[str, object]:
    plural = _GATEWAY_KINDS[kind]
    anything = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {
            "name": f"{plural}.gateway.networking.k8s.io",
            # Kubernetes asks for it in groups of its own.
            "annotations": {"api-approved.kubernetes.io": "unapproved, for tests"},
        },
        "spec": {
            "group": "gateway.networking.k8s.io",
            "scope": "Cluster" if kind == "GatewayClass" else "Namespaced",
            "names": {"kind": kind, "plural": plural, "singular": kind.lower()},
            "versions": [
                {
                    "name": "v1",
                    "served": True,
                    "storage": True,
                    "schema": {"openAPIV3Schema": anything},
                }
            ],
        },
    }
