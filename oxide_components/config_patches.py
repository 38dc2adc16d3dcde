"""Checks users' machine config patches: strategic merge patches that leave alone what Oxide owns."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import yaml

from .errors import SECRET_TEXT, show
from .naming import api_hostname

_DELETE: Final = "delete"
_SECTIONS: Final = ("version", "debug", "persist", "machine", "cluster")
_LINKS: Final = ("eth0", "eth1")

_FIXED_ENDPOINT: Final = "is fixed, because tokens and certificates hang on the cluster's endpoint"

OWNED_PATHS: Final[dict[str, tuple[str, str]]] = {
    "cluster.network.cni": ("is fixed to none, because Cilium is the network", "use ciliumValues"),
    "cluster.network.podSubnets": ("is set from podCidr", "use podCidr"),
    "cluster.network.serviceSubnets": ("is set from serviceCidr", "use serviceCidr"),
    "cluster.proxy": ("is off, because Cilium replaces kube-proxy", "remove it"),
    "cluster.controlPlane": (_FIXED_ENDPOINT, "use apiHostname to name the API for people"),
    "cluster.clusterName": ("is set from clusterName", "use clusterName"),
    "cluster.controllerManager.extraArgs.node-cidr-mask-size": (
        "is set from nodeCidrMaskSize",
        "use nodeCidrMaskSize",
    ),
    "cluster.etcd.advertisedSubnets": ("is set from controlSubnetCidr", "use controlSubnetCidr"),
    "machine.kubelet.nodeIP": (
        "is set from the subnets, because the firewall drops node traffic elsewhere",
        "use controlSubnetCidr and workerSubnetCidr",
    ),
    "machine.features.kubePrism": ("is wired to Cilium", "remove it"),
    "machine.network.hostname": ("is the server's name", "use clusterName and pool names"),
    "machine.network.interfaces": (
        "conflicts with the LinkConfig documents of eth0 and eth1",
        "write a LinkConfig document",
    ),
    "machine.type": ("follows from the server's role", "remove it"),
    "machine.install.image": ("follows from the version", "use talosVersion and schematicId"),
    "machine.kubelet.image": ("follows from the version", "use kubernetesVersion"),
    "cluster.apiServer.image": ("follows from the version", "use kubernetesVersion"),
    "cluster.controllerManager.image": ("follows from the version", "use kubernetesVersion"),
    "cluster.scheduler.image": ("follows from the version", "use kubernetesVersion"),
}
"""Paths of the main document that patches must not touch: the reason and the setting to use instead."""

SECRET_PATHS: Final = (
    "machine.token",
    "machine.ca",
    "cluster.id",
    "cluster.secret",
    "cluster.token",
    "cluster.aescbcEncryptionSecret",
    "cluster.secretboxEncryptionSecret",
    "cluster.ca",
    "cluster.aggregatorCA",
    "cluster.serviceAccount",
    "cluster.etcd.ca",
)
"""Paths that hold the cluster's secrets."""

NEWER_KINDS: Final = (
    "KubeAPIServerConfig",
    "KubeClusterConfig",
    "KubeCoreDNSConfig",
    "KubeFlannelCNIConfig",
    "KubeNetworkConfig",
    "KubeNodeConfig",
    "KubePrismConfig",
    "KubeProxyConfig",
    "KubeletConfig",
    "UnattendedInstallConfig",
)
"""Documents of Talos 1.14 that the Talos provider cannot read yet."""


@dataclass(frozen=True)
class PatchProblem:
    """One finding inside one patch."""

    path: str
    """Path inside the patch, empty for the patch as a whole."""
    value: str
    reason: str
    way_out: str


def patch_text(patch: object) -> str | None:
    """A patch as YAML text; None if it is neither text nor a mapping."""
    if isinstance(patch, str):
        return patch
    return yaml.safe_dump(patch, sort_keys=False) if isinstance(patch, Mapping) else None


def patch_problems(patch: object, cluster_name: str) -> list[PatchProblem]:
    """Everything that is wrong with one entry of a list of patches."""
    text = patch_text(patch)
    if text is None:
        return [PatchProblem("", show(patch), "is not a patch", "write YAML text or a mapping")]
    if text.startswith("@"):
        return [
            PatchProblem(
                "",
                show(text),
                "names a file, and files are not read",
                "put the patch itself into the stack, for example with "
                "`pulumi config set --path 'configPatches[0]' < patch.yaml`",
            )
        ]
    try:
        documents = [document for document in yaml.safe_load_all(text) if document is not None]
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        where = f" in line {mark.line + 1}" if mark is not None else ""
        what = getattr(error, "problem", None) or "cannot be read"
        return [PatchProblem("", show(text), f"is not YAML{where}: {what}", "correct the YAML")]
    if not documents:
        return [PatchProblem("", show(text), "is empty", "remove it")]
    return [
        problem for document in documents for problem in _document_problems(document, cluster_name)
    ]


def _document_problems(document: object, cluster_name: str) -> Iterator[PatchProblem]:
    if isinstance(document, list):
        yield PatchProblem(
            "",
            show(document),
            "is a JSON patch, which Talos refuses for configs of several documents",
            "write a strategic merge patch: the part of the config to change, as a mapping",
        )
    elif not isinstance(document, dict):
        yield PatchProblem(
            "",
            show(document),
            "is not a patch",
            "write the part of the config to change, as a mapping",
        )
    elif "kind" in document or "apiVersion" in document:
        yield from _kind_problems(document, cluster_name)
    else:
        yield from _main_document_problems(document)


def _kind_problems(document: Mapping[str, Any], cluster_name: str) -> Iterator[PatchProblem]:
    kind, name = str(document.get("kind", "")), str(document.get("name", ""))
    for key in ("apiVersion", "kind"):
        if not isinstance(document.get(key), str):
            yield PatchProblem(
                key, show(document.get(key)), "is missing", "give apiVersion and kind"
            )
    if kind == "HostnameConfig":
        yield PatchProblem(
            kind,
            show(document.get("hostname", document.get("auto"))),
            "would rename nodes, whose names are their servers' names",
            "use clusterName and pool names",
        )
    elif kind in NEWER_KINDS:
        yield PatchProblem(
            "kind",
            kind,
            "is a document of Talos 1.14 that the Talos provider cannot read yet",
            "patch the machine or cluster section instead",
        )
    elif kind == "StaticHostConfig" and api_hostname(cluster_name) in _texts(
        document.get("hostnames")
    ):
        yield PatchProblem(
            f"{kind} {name}",
            api_hostname(cluster_name),
            "already names the control planes",
            "use another host name",
        )
    elif document.get("$patch") == _DELETE and name in _LINKS:
        yield PatchProblem(
            f"{kind} {name}", _DELETE, "would take a link away that every node needs", "remove it"
        )


def _main_document_problems(document: Mapping[str, Any]) -> Iterator[PatchProblem]:
    for key in document:
        if key not in _SECTIONS and key != "$patch":
            nearest = difflib.get_close_matches(str(key), _SECTIONS, n=1)
            yield PatchProblem(
                str(key),
                show(document[key]),
                "is no section of a machine config",
                f"did you mean {nearest[0]}?" if nearest else "patch machine or cluster",
            )
    for path, (reason, way_out) in OWNED_PATHS.items():
        found, value = _look_up(document, path)
        if found:
            yield PatchProblem(path, show(value), reason, way_out)
    for path in SECRET_PATHS:
        if _look_up(document, path)[0]:
            yield PatchProblem(
                path,
                SECRET_TEXT,
                "is one of the cluster's secrets, which are made once and kept",
                "remove it",
            )
    forwards, value = _look_up(document, "machine.features.hostDNS.forwardKubeDNSToHost")
    if forwards and value is not False:
        yield PatchProblem(
            "machine.features.hostDNS.forwardKubeDNSToHost",
            show(value),
            "breaks CoreDNS behind Cilium's masquerading",
            "remove it",
        )


def _look_up(document: Mapping[str, Any], path: str) -> tuple[bool, Any]:
    """Whether a patch touches a path, also by deleting something above it, and with what."""
    value: Any = document
    for part in path.split("."):
        if not isinstance(value, Mapping):
            return False, None
        if value.get("$patch") == _DELETE:
            return True, {"$patch": _DELETE}
        if part not in value:
            return False, None
        value = value[part]
    return True, value


def _texts(value: object) -> list[object]:
    return value if isinstance(value, list) else []
