"""
Kubeconfigs for people.

Talos' own admin kubeconfig names the cluster-internal endpoint, which nobody outside can reach. Here its
`server` becomes an address that they reach: of the load balancer, if any, and of each control plane, one context each.
"""

import base64
from collections.abc import Sequence
from dataclasses import dataclass

import yaml

from .errors import OxideError
from .packed import unpack

API_PORT = 6443
"""Port of the Kubernetes API on every control plane."""

# The parser's own message would quote the text, which holds a key.
_UNREADABLE = "kubeconfig: not a kubeconfig with an embedded client key"


@dataclass(frozen=True, kw_only=True)
class Credentials:
    """What a client needs to talk to the cluster. The repr hides the key."""

    servers: tuple[str, ...]
    """URLs of the API, the current context first."""
    certificate_authority: bytes
    client_certificate: bytes
    client_key: bytes

    def __repr__(self) -> str:
        return f"Credentials(servers={self.servers!r}, client_key=***)"


def people_kubeconfig(
    raw: str, cluster_name: str, hosts: Sequence[tuple[str, str]], first_host: str | None
) -> str:
    """
    Rewrite Talos' kubeconfig for use from outside.

    Args:
        raw: The kubeconfig as Talos returns it.
        cluster_name: Name of the cluster; the current context is `admin@<cluster_name>`.
        hosts: Name and address of the load balancer, if any, and of each control plane. Each gets a context.
        first_host: Name or address that the current context uses. None takes the first of `hosts`.

    Raises:
        OxideError: The text is no kubeconfig.
    """
    user_name = f"admin@{cluster_name}"
    try:
        parsed = yaml.safe_load(raw)
        authority = parsed["clusters"][0]["cluster"]["certificate-authority-data"]
        user = {"name": user_name, "user": parsed["users"][0]["user"]}
    except (yaml.YAMLError, KeyError, IndexError, TypeError):
        raise OxideError(_UNREADABLE) from None
    named_hosts = [(cluster_name, first_host or hosts[0][1]), *hosts]
    clusters, contexts = [], []
    for name, host in named_hosts:
        cluster = {
            "server": server_url(host),
            "certificate-authority-data": authority,
        }
        context = {"cluster": name, "user": user_name, "namespace": "default"}
        clusters.append({"name": name, "cluster": cluster})
        contexts.append({"name": f"admin@{name}", "context": context})
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": clusters,
        "contexts": contexts,
        "users": [user],
        "current-context": f"admin@{cluster_name}",
    }
    text: str = yaml.safe_dump(document, sort_keys=False)
    return text


def credentials(kubeconfig: str) -> Credentials:
    """
    Read servers and client credentials out of a kubeconfig that `people_kubeconfig` wrote.

    Raises:
        OxideError: The text is no kubeconfig with an embedded client certificate.
    """
    try:
        parsed = yaml.safe_load(unpack(kubeconfig))
        user = parsed["users"][0]["user"]
        servers = dict.fromkeys(entry["cluster"]["server"] for entry in parsed["clusters"])
        return Credentials(
            servers=tuple(servers),
            certificate_authority=base64.b64decode(
                parsed["clusters"][0]["cluster"]["certificate-authority-data"]
            ),
            client_certificate=base64.b64decode(user["client-certificate-data"]),
            client_key=base64.b64decode(user["client-key-data"]),
        )
    except (yaml.YAMLError, KeyError, IndexError, TypeError, ValueError):
        raise OxideError(_UNREADABLE) from None


def server_url(host: str) -> str:
    """URL of the Kubernetes API on a host, which may be a name, an IPv4 or an IPv6 address."""
    return f"https://[{host}]:{API_PORT}" if ":" in host else f"https://{host}:{API_PORT}"
