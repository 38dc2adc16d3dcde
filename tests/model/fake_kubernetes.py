"""The Kubernetes API on the model's world."""

import http
import json
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from oxide_components.kubeconfig import credentials
from oxide_components.kubernetes_api import KubernetesApi

from .machine_config_text import kubelet_version
from .things import Node, moment
from .world import MARK, STATIC_PODS, World

_DRAIN_SECONDS = 15


class FakeKubernetesApi(KubernetesApi):
    """The real client on a wire of the model's own."""

    world: World

    def __init__(self, kubeconfig: str, timeout: float = 10) -> None:
        self.servers = credentials(kubeconfig).servers
        self._timeout = timeout

    def request_to(
        self,
        server: str,
        method: str,
        path: str,
        body: Any = None,
        content_type: str = "application/json",
    ) -> tuple[int, bytes]:
        """One request to one control plane."""
        world = self.world
        world.call()
        host = urlsplit(server).hostname
        serving = next((s for s in world.servers.values() if s.public == host), None)
        if world.api_refusals > 0:
            world.api_refusals -= 1
            raise ConnectionRefusedError(111, "Connection refused")
        if serving is None or not world.serves(serving):
            world.sleep(2)
            raise ConnectionRefusedError(111, "Connection refused")
        status, answer = self._answer(method, urlsplit(path), body)
        world.call()
        return status, answer if isinstance(answer, bytes) else json.dumps(answer).encode()

    def _answer(self, method: str, url: Any, body: Any) -> tuple[int, Any]:
        world, parts = self.world, [unquote(part) for part in url.path.strip("/").split("/")]
        query = {key: values[0] for key, values in parse_qs(url.query).items()}
        match method, parts:
            case "GET", ["readyz"]:
                return 200, b"ok"
            case "GET", ["api", "v1", "nodes"]:
                return 200, {"items": [self._node(node) for node in world.nodes.values()]}
            case "GET", ["api", "v1", "namespaces", "kube-system", "pods"]:
                return 200, {"items": self._control_plane_pods()}
            case "GET", ["api", "v1", "namespaces", "kube-system", "pods", pod]:
                return self._static_pod(pod)
            case "GET", ["api", "v1", "pods"]:
                name = query["fieldSelector"].partition("=")[2]
                return 200, {"items": self._pods(name)}
            case "GET", ["apis", "coordination.k8s.io", "v1", "namespaces", _, "leases"]:
                name = query["fieldSelector"].partition("=")[2]
                node = world.nodes.get(name)
                sign = [{"spec": {"renewTime": str(int(node.last_sign / 10))}}] if node else []
                return 200, {"items": sign}
            case "GET", ["apis", "storage.k8s.io", "v1", "volumeattachments"]:
                return 200, {"items": []}
            case "GET", ["api", "v1", "namespaces", _, "secrets"]:
                return 200, {"items": []}
            case _, ["api", "v1", "nodes", name]:
                return self._on_node(method, name, body)
            case "POST", ["api", "v1", "namespaces", _, "pods", pod, "eviction"]:
                return self._evict(pod)
        raise AssertionError(f"the model knows no {method} {url.path}")

    def _control_plane_pods(self) -> list[dict[str, Any]]:
        return [
            {
                "metadata": {"name": f"kube-apiserver-{server.name}"},
                "spec": {
                    "containers": [{"image": f"kube-apiserver:{kubelet_version(server.config)}"}]
                },
            }
            for server in self.world.servers.values()
            if self.world.serves(server) and server.config is not None
        ]

    def _static_pod(self, pod: str) -> tuple[int, Any]:
        component = next(c for c in STATIC_PODS if pod.startswith(f"{c}-"))
        server = self.world.server_named(pod.removeprefix(f"{component}-"))
        if server is None or not self.world.is_up(server) or server.waits_to_serve is None:
            return http.HTTPStatus.NOT_FOUND, {}
        serves = self.world.serves(server)
        version = server.config_version if serves else server.config_version - 1
        return http.HTTPStatus.OK, {
            "metadata": {"annotations": {MARK: str(version)}},
            "status": {"conditions": [{"type": "Ready", "status": str(serves)}]},
        }

    def _on_node(self, method: str, name: str, body: Any) -> tuple[int, Any]:
        world = self.world
        node = world.nodes.get(name)
        if node is None:
            return http.HTTPStatus.NOT_FOUND, {}
        if method == "DELETE":
            world.touch(name, "Node object deleted")
            del world.nodes[name]
        elif method == "PATCH":
            spec = body.get("spec") or {}
            if "unschedulable" in spec:
                cordoned = bool(spec["unschedulable"])
                world.touch(name, "cordoned" if cordoned else "uncordoned")
                node.cordoned = cordoned
            if "taints" in spec:
                world.touch(name, "tainted")
                node.taints = list(spec["taints"] or [])
            for key, value in ((body.get("metadata") or {}).get("annotations") or {}).items():
                if value is None:
                    node.annotations.pop(key, None)
                else:
                    node.annotations[key] = value
        return http.HTTPStatus.OK, self._node(node)

    def _evict(self, pod: str) -> tuple[int, Any]:
        for name, node in self.world.nodes.items():
            if pod in node.pods:
                self.world.touch(name, "drained")
                node.pods[pod] = self.world.now + _DRAIN_SECONDS
        return http.HTTPStatus.CREATED, {}

    def _pods(self, name: str) -> list[dict[str, Any]]:
        node = self.world.nodes.get(name)
        return [
            {
                "metadata": {
                    "name": pod,
                    "namespace": "default",
                    **({"deletionTimestamp": str(gone)} if gone else {}),
                }
            }
            for pod, gone in (node.pods if node else {}).items()
        ]

    def _node(self, node: Node) -> dict[str, Any]:
        ready = self.world.node_is_ready(node)
        return {
            "metadata": {
                "name": node.name,
                "labels": dict(node.labels),
                "annotations": dict(node.annotations),
                "creationTimestamp": moment(node.made_at).strftime("%Y-%m-%dT%H:%M:%SZ"),
            },
            "spec": {
                "taints": list(node.taints),
                **({"unschedulable": True} if node.cordoned else {}),
            },
            "status": {
                "conditions": [
                    {"type": "Ready", "status": "True" if ready else "Unknown", "message": "silent"}
                ],
                "addresses": [{"type": "InternalIP", "address": node.address}],
                "nodeInfo": {
                    "bootID": node.boot_id,
                    "kubeletVersion": node.kubelet,
                    "osImage": f"Talos ({node.talos})",
                },
            },
        }
