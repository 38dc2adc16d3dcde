"""The few Kubernetes API calls that gates, recovery and leaving nodes need, over the standard library: every server of the kubeconfig in turn."""

import http.client
import json
import os
import re
import ssl
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from .errors import OxideError
from .https_connection import https_connection
from .kubeconfig import API_PORT, credentials

CORDONED = "oxide/cordoned"
"""Annotation of a node that Oxide has cordoned. A node that is cordoned without it stays so, whatever is done to it."""

NETWORK_NOT_READY = "node.cilium.io/agent-not-ready"
"""Taint that Cilium's operator keeps on a node where Cilium's agent does not run, also where the kubelet is Ready already."""

_CHECKS_NAMED = 3
_SYSTEM_NAME = re.compile(r"^Talos \((v[^)]+)\)$")
"""How Talos names itself in Node objects."""


class ApiUnavailableError(OxideError):
    """No server of the kubeconfig answered; the text names each and its reason."""


class KubernetesApi:
    """
    Client of one cluster with the credentials of a kubeconfig.

    Args:
        kubeconfig: Text of a kubeconfig with an embedded client certificate.
        timeout: Seconds that one request to one server may take.
    """

    def __init__(self, kubeconfig: str, timeout: float = 10) -> None:
        found = credentials(kubeconfig)
        self.servers: Sequence[str] = found.servers
        self._timeout = timeout
        self._context = ssl.create_default_context(
            cadata=found.certificate_authority.decode("ascii")
        )
        # Python's ssl loads client certificates from files only.
        with tempfile.TemporaryDirectory(prefix="oxide-") as directory:
            path = Path(directory) / "client.pem"
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                file.write(found.client_certificate + b"\n" + found.client_key)
            self._context.load_cert_chain(path)

    def request(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | None = None,
        content_type: str = "application/json",
    ) -> tuple[int, bytes]:
        """
        Status and body of the first server that can tell; an error of all is the last one's answer.

        A lost answer, or an error of the server itself (5xx: its etcd changes leaders, it shuts down), makes the next
        server get the same request again, so it must bear that.

        Raises:
            ApiUnavailableError: None answered.
        """
        reasons = []
        failed = None
        for server in self.servers:
            try:
                answer = self.request_to(server, method, path, body, content_type)
                if answer[0] < http.HTTPStatus.INTERNAL_SERVER_ERROR:
                    return answer
                failed = answer
            except OSError as error:
                reasons.append(f"{server}: {_reason(error)}")
            except http.client.HTTPException as error:
                reasons.append(f"{server}: {type(error).__name__}")
        if failed is not None:
            return failed
        raise ApiUnavailableError("; ".join(reasons))

    def request_to(
        self,
        server: str,
        method: str,
        path: str,
        body: Mapping[str, Any] | None = None,
        content_type: str = "application/json",
    ) -> tuple[int, bytes]:
        """Status and body of one request to one server."""
        address = urlsplit(server)
        connection = https_connection(
            address.hostname or "",
            address.port or API_PORT,
            timeout=self._timeout,
            context=self._context,
        )
        try:
            headers = {"Accept": "application/json"}
            if body is not None:
                headers["Content-Type"] = content_type
            connection.request(
                method, path, None if body is None else json.dumps(body).encode(), headers
            )
            response = connection.getresponse()
            return response.status, response.read()
        finally:
            connection.close()

    def not_ready_reason(self, server: str) -> str | None:
        """None when the server serves /readyz, else why not, in one line."""
        try:
            status, body = self.request_to(server, "GET", "/readyz")
        except OSError as error:
            return _reason(error)
        except http.client.HTTPException as error:
            return type(error).__name__
        if status == http.HTTPStatus.OK:
            return None
        checks = [line for line in body.decode(errors="replace").splitlines() if "[-]" in line]
        failed = [check.removeprefix("[-]").split(" ")[0] for check in checks]
        more = f" and {len(failed) - _CHECKS_NAMED} more" if len(failed) > _CHECKS_NAMED else ""
        return f"HTTP {status} {', '.join(failed[:_CHECKS_NAMED])}{more}".strip()

    def node(self, name: str) -> dict[str, Any] | None:
        """The Node object, or None where it does not exist."""
        status, body = self.request("GET", f"/api/v1/nodes/{name}")
        if status == http.HTTPStatus.NOT_FOUND:
            return None
        if status != http.HTTPStatus.OK:
            raise ApiUnavailableError(f"GET node {name}: HTTP {status}")
        return _parsed(body)

    def pod(self, namespace: str, name: str) -> dict[str, Any] | None:
        """The pod, or None where it does not exist."""
        status, body = self.request("GET", f"/api/v1/namespaces/{namespace}/pods/{name}")
        if status == http.HTTPStatus.NOT_FOUND:
            return None
        if status != http.HTTPStatus.OK:
            raise ApiUnavailableError(f"GET pod {namespace}/{name}: HTTP {status}")
        return _parsed(body)

    def volumes_of(self, pods: Sequence[Mapping[str, Any]]) -> set[str]:
        """
        Names of the persistent volumes that pods have claimed.

        Raises:
            ApiUnavailableError: None answered.
        """
        claims = {
            (pod["metadata"]["namespace"], volume["persistentVolumeClaim"]["claimName"])
            for pod in pods
            for volume in pod.get("spec", {}).get("volumes") or []
            if "persistentVolumeClaim" in volume
        }
        found = set()
        for namespace, name in claims:
            path = f"/api/v1/namespaces/{namespace}/persistentvolumeclaims/{name}"
            status, body = self.request("GET", path)
            if status == http.HTTPStatus.OK:
                found.add(str(_parsed(body).get("spec", {}).get("volumeName") or ""))
        return found - {""}

    def attached_volumes(self, node: str) -> set[str]:
        """
        Names of the persistent volumes that are attached to a node.

        Raises:
            ApiUnavailableError: None answered.
        """
        return {
            str(found["spec"].get("source", {}).get("persistentVolumeName", ""))
            for found in self.items("/apis/storage.k8s.io/v1/volumeattachments")
            if found["spec"].get("nodeName") == node
        }

    def items(self, path: str) -> list[dict[str, Any]]:
        """
        Objects of a list.

        Args:
            path: Path of the list, with its selectors.

        Raises:
            ApiUnavailableError: No server answered, or not with the list.
        """
        status, body = self.request("GET", path)
        if status != http.HTTPStatus.OK:
            raise ApiUnavailableError(f"GET {path}: HTTP {status}")
        found: list[dict[str, Any]] = _parsed(body).get("items") or []
        return found

    def last_report(self, name: str) -> str | None:
        """When the node's kubelet has last renewed its lease, as the lease says it; None where it has none."""
        leases = self.items(
            "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases"
            f"?fieldSelector=metadata.name%3D{name}"
        )
        return leases[0]["spec"].get("renewTime") if leases else None

    def set_unschedulable(self, name: str, unschedulable: bool) -> bool:
        """Cordon or uncordon a node as Oxide, which leaves its mark; False where the node does not exist."""
        mark = "true" if unschedulable else None
        return self.patch_node(
            name,
            {
                "metadata": {"annotations": {CORDONED: mark}},
                "spec": {"unschedulable": unschedulable or None},
            },
        )

    def patch_node(self, name: str, patch: Mapping[str, Any]) -> bool:
        """Merge a patch into a Node object; False where it does not exist."""
        status, body = self.request(
            "PATCH", f"/api/v1/nodes/{name}", patch, "application/merge-patch+json"
        )
        if status not in (http.HTTPStatus.OK, http.HTTPStatus.NOT_FOUND):
            raise ApiUnavailableError(f"PATCH node {name}: {_refusal(status, body)}")
        return status == http.HTTPStatus.OK

    def delete_node(self, name: str) -> None:
        """Delete a Node object; one that is gone is no error."""
        status, _ = self.request("DELETE", f"/api/v1/nodes/{name}")
        if status not in (
            http.HTTPStatus.OK,
            http.HTTPStatus.ACCEPTED,
            http.HTTPStatus.NOT_FOUND,
        ):
            raise ApiUnavailableError(f"DELETE node {name}: HTTP {status}")

    def evict(self, namespace: str, pod: str) -> str | None:
        """
        Ask for the eviction of a pod.

        Returns:
            None when it goes or is gone, else why the API refuses for now, such as a disruption budget's name.
        """
        status, body = self.request(
            "POST",
            f"/api/v1/namespaces/{namespace}/pods/{pod}/eviction",
            {
                "apiVersion": "policy/v1",
                "kind": "Eviction",
                "metadata": {"name": pod, "namespace": namespace},
            },
        )
        if status < http.HTTPStatus.MULTIPLE_CHOICES or status == http.HTTPStatus.NOT_FOUND:
            return None
        return _refusal(status, body)


def internal_address(node: Mapping[str, Any]) -> str:
    """InternalIP of a Node object; empty where it has none."""
    for address in node.get("status", {}).get("addresses") or []:
        if address.get("type") == "InternalIP":
            return str(address.get("address", ""))
    return ""


def boot_id(node: Mapping[str, Any]) -> str:
    """Boot id that the kubelet of a Node object has reported; empty where it has not."""
    return str(node.get("status", {}).get("nodeInfo", {}).get("bootID", ""))


def talos_version(node: Mapping[str, Any]) -> str | None:
    """Talos version that the kubelet of a Node object has reported, such as v1.13.9; None where it has not."""
    found = _SYSTEM_NAME.search(node.get("status", {}).get("nodeInfo", {}).get("osImage", ""))
    return found[1] if found else None


def node_not_ready_reason(node: dict[str, Any] | None) -> str | None:
    """None for a Ready node, else why it is not, in one line."""
    if node is None:
        return "has not joined the cluster"
    for condition in node.get("status", {}).get("conditions", []):
        if condition.get("type") == "Ready":
            if condition.get("status") == "True":
                return None
            return f"not ready: {condition.get('message') or condition.get('reason')}"
    return "has not reported its state"


def no_network_reason(node: dict[str, Any]) -> str | None:
    """None for a node whose pods have a network, else why they have none, in one line."""
    taints = node.get("spec", {}).get("taints") or []
    if any(taint.get("key") == NETWORK_NOT_READY for taint in taints):
        return f"its Cilium agent is not up (taint {NETWORK_NOT_READY})"
    return None


def _parsed(body: bytes) -> dict[str, Any]:
    try:
        document: dict[str, Any] = json.loads(body)
    except ValueError:
        raise ApiUnavailableError("the answer is not JSON") from None
    return document


def _reason(error: OSError) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"certificate: {error.verify_message}"
    return str(error.strerror or error)


def _refusal(status: int, body: bytes) -> str:
    """A Status object in one line; its causes say more than its message."""
    try:
        parsed = json.loads(body)
        causes = (parsed.get("details") or {}).get("causes") or []
        texts = [cause.get("message", "") for cause in causes] or [parsed.get("message", "")]
    except (ValueError, AttributeError):
        texts = []
    return "; ".join(text.strip() for text in texts if text) or f"HTTP {status}"
