"""The network policy that keeps pods from Hetzner's metadata service."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import product
from typing import Any, Final

METADATA_ADDRESS: Final = "169.254.169.254/32"
"""Hetzner's metadata service, which hands out a server's machine config with all its secrets."""

METADATA_POLICY_NAME: Final = "oxide-metadata-access"

MAX_METADATA_RULES: Final = 32
"""Rules into which exceptions may unfold; more is a sign of exceptions that should be a namespace."""

_NAMESPACE_KEY: Final = "k8s:io.kubernetes.pod.namespace"

Literals = frozenset[tuple[str, str]]


def metadata_policy(exceptions: Sequence[Mapping[str, Any]] = ()) -> dict[str, Any]:
    """The CiliumClusterwideNetworkPolicy that keeps pods from the metadata service.

    An exception is a mapping with `namespace` and, optionally, `labels` that its pods carry.
    A deny rule beats every allow rule, so pods that may read it are left out by the selectors. Nothing else is denied: the
    policy switches the default deny off, which a policy otherwise brings with it. Pods in the host's network are not covered.
    """
    rules = [
        {
            "description": "Keeps pods from the cloud's metadata service.",
            "endpointSelector": _selector(excluded),
            "enableDefaultDeny": {"egress": False, "ingress": False},
            "egressDeny": [{"toCIDR": [METADATA_ADDRESS]}],
        }
        for excluded in protected_selectors(exceptions)
    ]
    return {
        "apiVersion": "cilium.io/v2",
        "kind": "CiliumClusterwideNetworkPolicy",
        "metadata": {"name": METADATA_POLICY_NAME},
        **({"spec": rules[0]} if len(rules) == 1 else {"specs": rules}),
    }


def protected_selectors(exceptions: Sequence[Mapping[str, Any]]) -> list[Literals]:
    """The pods outside all exceptions, as label pairs to exclude: one selector per element.

    A selector can only say "and". A pod is outside an exception if its namespace or one of its labels differs, so every choice of
    one difference per exception is a selector; choices that contain another choice select nothing new.
    """
    choices = [
        [
            (_NAMESPACE_KEY, str(access["namespace"])),
            *((f"k8s:{key}", str(value)) for key, value in (access.get("labels") or {}).items()),
        ]
        for access in exceptions
    ]
    selectors: set[Literals] = {frozenset(choice) for choice in product(*choices)}
    minimal = [one for one in selectors if not any(other < one for other in selectors)]
    return sorted(minimal, key=sorted)


def _selector(excluded: Literals) -> dict[str, Any]:
    keys = sorted({key for key, _ in excluded})
    if not keys:
        return {}
    return {
        "matchExpressions": [
            {
                "key": key,
                "operator": "NotIn",
                "values": sorted(value for name, value in excluded if name == key),
            }
            for key in keys
        ]
    }
