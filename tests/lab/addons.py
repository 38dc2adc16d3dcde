"""Add-ons on the lab and what shows that they work: an application with a load balancer and a volume, approved certificates."""

import json
import time
from collections.abc import Callable
from typing import Any

from .stacks import Stack

ALL: dict[str, Any] = {
    "cloudController": {"chart": "./lab/charts/hcloud-cloud-controller-manager"},
    "csi": {"chart": "./lab/charts/hcloud-csi", "encryptedStorageClass": True},
    "metricsServer": {"chart": "./lab/charts/metrics-server"},
}
"""Settings of every add-on that differ from the official ones, because its chart cannot be had everywhere."""

PATIENCE = 120.0
"""Seconds for what controllers do within a few on a machine without load."""

_SERVICE = """
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {type: LoadBalancer, selector: {app: web}, ports: [{port: 80}]}
"""

_CLAIM = """
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: data}
spec:
  storageClassName: hcloud-volumes-encrypted
  accessModes: [ReadWriteOnce]
  resources: {requests: {storage: 12Gi}}
---
apiVersion: v1
kind: Pod
metadata: {name: web, labels: {app: web}}
spec:
  containers: [{name: web, image: nginx, volumeMounts: [{name: data, mountPath: /data}]}]
  volumes: [{name: data, persistentVolumeClaim: {claimName: data}}]
"""


def until(what: str, found: Callable[[], Any]) -> Any:
    """What `found` returns once it is true."""
    end = time.monotonic() + PATIENCE
    while not (value := found()):
        assert time.monotonic() < end, f"not within {PATIENCE:.0f} s: {what}"
        time.sleep(1)
    return value


def objects(stack: Stack, kind: str) -> list[dict[str, Any]]:
    """Objects of a kind in all namespaces."""
    found: list[dict[str, Any]] = json.loads(
        stack.kubectl("get", kind, "--all-namespaces", "-o", "json")
    )["items"]
    return found


def deploy_web(stack: Stack, *, balancer: bool = True, volume: bool = True) -> None:
    """An application with a load balancer and a volume, both of which exist when this returns."""
    file = stack.project / "web.yaml"
    file.write_text("---".join([_SERVICE] * balancer + [_CLAIM] * volume))
    stack.kubectl("apply", "-f", str(file))
    if balancer:
        until(
            "the Service has an address",
            lambda: [
                ingress
                for service in objects(stack, "services")
                for ingress in service["status"]["loadBalancer"].get("ingress", ())
            ],
        )
    if volume:
        until(
            "the volume is attached",
            lambda: [one for one in stack.cloud.volumes.get_all() if one.server],
        )


def switch_on(stack: Stack, *names: str) -> None:
    """Set these add-ons."""
    for name in names:
        for key, value in ALL[name].items():
            stack.set(f'addons["{name}"]["{key}"]', value)


def signed_kubelets(stack: Stack) -> set[str]:
    """Users of the kubelets whose serving certificates have been approved."""
    return {
        request["spec"]["username"]
        for request in until("requests are answered", lambda: _serving_requests(stack))
        if any(c["type"] == "Approved" for c in request["status"].get("conditions", ()))
    }


def pod_routes(stack: Stack, network: str) -> dict[str, str]:
    """Gateways of the routes in a network, by their ranges."""
    found = stack.cloud.networks.get_by_name(network)
    assert found is not None
    return {route.destination: route.gateway for route in found.routes or ()}


def wanted_pod_routes(stack: Stack) -> dict[str, str]:
    """Private address of each node by the range of its pods: what native routing needs."""
    return {
        node["spec"]["podCIDR"]: address["address"]
        for node in stack.nodes().values()
        for address in node["status"]["addresses"]
        if address["type"] == "InternalIP"
    }


def _serving_requests(stack: Stack) -> list[dict[str, Any]]:
    found = [
        request
        for request in objects(stack, "csr")
        if request["spec"]["signerName"] == "kubernetes.io/kubelet-serving"
    ]
    return found if all(request["status"].get("conditions") for request in found) else []
