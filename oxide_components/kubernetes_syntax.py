"""Kubernetes' own rules for labels, taints and annotations, checked before a kubelet can refuse them."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

TAINT_EFFECTS: Final = ("NoSchedule", "PreferNoSchedule", "NoExecute")

MAX_NAME_LENGTH: Final = 63
MAX_PREFIX_LENGTH: Final = 253
MAX_ANNOTATIONS_BYTES: Final = 256 * 1024

_NAME: Final = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?")
_PREFIX: Final = re.compile(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*")

_RESERVED_DOMAINS: Final = ("kubernetes.io", "k8s.io")
_KUBELET_DOMAINS: Final = ("kubelet.kubernetes.io", "node.kubernetes.io")
_OWNED_LABELS: Final = (
    "kubernetes.io/hostname",
    "kubernetes.io/arch",
    "kubernetes.io/os",
    "beta.kubernetes.io/arch",
    "beta.kubernetes.io/os",
)
_KUBELET_LABELS: Final = (
    "beta.kubernetes.io/instance-type",
    "node.kubernetes.io/instance-type",
    "failure-domain.beta.kubernetes.io/region",
    "failure-domain.beta.kubernetes.io/zone",
    "topology.kubernetes.io/region",
    "topology.kubernetes.io/zone",
)


def qualified_name_problem(key: str) -> str | None:
    """Why a text is no key of a label, taint or annotation; None if it is one."""
    prefix, slash, name = key.rpartition("/")
    if not name or len(name) > MAX_NAME_LENGTH or not _NAME.fullmatch(name):
        return (
            f"is not a Kubernetes name: its last part is 1 to {MAX_NAME_LENGTH} letters, digits, '-', '_' or '.', "
            "with a letter or digit at both ends"
        )
    if slash and (len(prefix) > MAX_PREFIX_LENGTH or not _PREFIX.fullmatch(prefix)):
        return "is not a Kubernetes name: the part before '/' is a DNS name in lower case"
    return None


def label_value_problem(value: str) -> str | None:
    """Why a text is no value of a label or taint; None if it is one. An empty value is allowed."""
    if value and (len(value) > MAX_NAME_LENGTH or not _NAME.fullmatch(value)):
        return (
            f"is not a label value: at most {MAX_NAME_LENGTH} letters, digits, '-', '_' or '.', with a letter or "
            "digit at both ends"
        )
    return None


def node_label_problem(key: str) -> str | None:
    """Why a worker cannot give itself a label; None if it can.

    Workers label their own Node object, and the NodeRestriction admission plugin lets kubelets set labels of Kubernetes' own
    domains only from a short list.
    """
    if key in _OWNED_LABELS:
        return "is set by the kubelet itself"
    prefix, slash, _ = key.rpartition("/")
    if not slash or not _within(prefix, _RESERVED_DOMAINS):
        return None
    if key in _KUBELET_LABELS or _within(prefix, _KUBELET_DOMAINS):
        return None
    return "is reserved: NodeRestriction lets no kubelet set it"


def taint_effect_problem(effect: str) -> str | None:
    """Why a text is no taint effect; None if it is one."""
    return None if effect in TAINT_EFFECTS else f"is not one of {', '.join(TAINT_EFFECTS)}"


def _within(domain: str, parents: Iterable[str]) -> bool:
    return any(domain == parent or domain.endswith(f".{parent}") for parent in parents)
