"""What gets installed, in which order, and which tool on PATH is as good."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

from lab import paths

Version = tuple[int, int, int]

_TOOLS = Path(__file__).parent


@dataclass(frozen=True, kw_only=True)
class Executable:
    """One file to install."""

    package: str
    """The Go package that it is built from."""
    file: Path
    """Where it goes."""
    version_arguments: tuple[str, ...] = ()
    """Makes it print its version."""
    fits: Callable[[Version], bool] = lambda _: False
    """Whether a version found on PATH serves as well."""
    beside: tuple[str, ...] = ()
    """Programs that must lie in the same directory for the one on PATH to be fit."""


@dataclass(frozen=True, kw_only=True)
class Tool:
    """A Go module and the executables that it yields."""

    name: str
    """Name in progress lines, of the log file and of the stamp."""
    module: Path
    """Directory of go.mod."""
    executables: list[Executable]
    version: str = ""
    """Pinned version with its v; empty for the project's own modules."""
    stamp: dict[str, str] = field(default_factory=dict)
    """Linker variables that carry the version."""

    @property
    def own(self) -> bool:
        """Whether the module belongs to the project."""
        return not self.version


def parse_version(text: str) -> Version | None:
    """Returns the first x.y.z in a tool's output; None for a pre-release or no version."""
    found = re.search(r"v?(\d+)\.(\d+)\.(\d+)([-.\w]*)", text)
    if found is None or found[4]:
        return None
    return int(found[1]), int(found[2]), int(found[3])


def pinned(tool: str, module: str) -> str:
    """Reads the version of `module` from the go.mod of a tool."""
    text = (_TOOLS / tool / "go.mod").read_text()
    found = re.search(rf"^(?:require)?\s*{re.escape(module)} (v\S+)", text, re.MULTILINE)
    if found is None:
        raise LookupError(f"lab/tools/{tool}/go.mod does not require {module}")
    return found[1]


def kubernetes_version() -> str:
    """The newest Kubernetes version whose control plane the lab has, with its v."""
    return pinned("kubernetes", "k8s.io/kubernetes")


def older_kubernetes_version() -> str:
    """The version one minor below, from which clusters are upgraded, with its v."""
    return pinned("kubernetes-1.34", "k8s.io/kubernetes")


def catalog() -> list[Tool]:
    """Returns everything to install, in the order of installation."""
    older = _kubernetes("kubernetes-1.34")
    return [_pulumi(), _newest_kubernetes(), _etcd(), _kwok(), *_own(), _talosctl(), _helm(), older]


def _pulumi() -> Tool:
    version = pinned("pulumi", "github.com/pulumi/pulumi/pkg/v3")
    return Tool(
        name="pulumi",
        version=version,
        module=_TOOLS / "pulumi",
        executables=[
            Executable(
                package="github.com/pulumi/pulumi/pkg/v3/cmd/pulumi",
                file=paths.BIN / "pulumi",
                version_arguments=("version",),
                fits=lambda found: (3, 250, 0) <= found < (4, 0, 0),
                beside=("pulumi-language-python", "pulumi-resource-pulumi-python"),
            )
        ],
        stamp={"github.com/pulumi/pulumi/sdk/v3/go/common/version.Version": version},
    )


def _kubernetes(name: str) -> Tool:
    """The control plane of the version that a module pins."""
    version = pinned(name, "k8s.io/kubernetes")
    exact = parse_version(version) or (0, 0, 0)
    major, minor, _ = exact
    stamp: dict[str, str] = {}
    # Without these, clients cannot parse the server's version.
    for package in ("k8s.io/component-base/version", "k8s.io/client-go/pkg/version"):
        stamp |= {
            f"{package}.gitVersion": version,
            f"{package}.gitMajor": str(major),
            f"{package}.gitMinor": str(minor),
            f"{package}.gitTreeState": "clean",
        }
    return Tool(
        name=name,
        version=version,
        module=_TOOLS / name,
        executables=[
            Executable(
                package=f"k8s.io/kubernetes/cmd/{component}",
                file=paths.KUBERNETES / version / component,
                version_arguments=("--version",),
                fits=lambda found: found == exact,
            )
            for component in ("kube-apiserver", "kube-controller-manager", "kube-scheduler")
        ],
        stamp=stamp,
    )


def _newest_kubernetes() -> Tool:
    tool = _kubernetes("kubernetes")
    major, minor, _ = parse_version(tool.version) or (0, 0, 0)
    kubectl = Executable(
        package="k8s.io/kubernetes/cmd/kubectl",
        file=paths.BIN / "kubectl",
        version_arguments=("version", "--client"),
        fits=lambda found: found[0] == major and abs(found[1] - minor) <= 1,
    )
    return replace(tool, executables=[*tool.executables, kubectl])


def _etcd() -> Tool:
    return Tool(
        name="etcd",
        version=pinned("etcd", "go.etcd.io/etcd/server/v3"),
        module=_TOOLS / "etcd",
        executables=[
            Executable(
                package="go.etcd.io/etcd/server/v3",
                file=paths.BIN / "etcd",
                version_arguments=("--version",),
                fits=lambda found: found[:2] == (3, 6),
            ),
            Executable(
                package="go.etcd.io/etcd/etcdutl/v3",
                file=paths.BIN / "etcdutl",
                version_arguments=("version",),
                fits=lambda found: found[:2] == (3, 6),
            ),
        ],
    )


def _kwok() -> Tool:
    return Tool(
        name="kwok",
        version=pinned("kwok", "sigs.k8s.io/kwok"),
        module=_TOOLS / "kwok",
        executables=[
            Executable(
                package="sigs.k8s.io/kwok/cmd/kwok",
                file=paths.BIN / "kwok",
                version_arguments=("--version",),
                fits=lambda found: found[:2] == (0, 7),
            )
        ],
    )


def _talosctl() -> Tool:
    return Tool(
        name="talosctl",
        version=pinned("talosctl", "github.com/siderolabs/talos"),
        module=_TOOLS / "talosctl",
        executables=[
            Executable(
                package="github.com/siderolabs/talos/cmd/talosctl",
                file=paths.BIN / "talosctl",
                version_arguments=("version", "--client", "--short"),
                fits=lambda found: found[:2] == (1, 13),
            )
        ],
    )


def _helm() -> Tool:
    version = pinned("helm", "helm.sh/helm/v3")
    return Tool(
        name="helm",
        version=version,
        module=_TOOLS / "helm",
        executables=[
            Executable(
                package="helm.sh/helm/v3/cmd/helm",
                file=paths.BIN / "helm",
                version_arguments=("version", "--short"),
                fits=lambda found: (3, 17, 0) <= found < (4, 0, 0),
            )
        ],
        stamp={"helm.sh/helm/v3/internal/version.version": version},
    )


def _own() -> list[Tool]:
    lab = paths.ROOT / "lab"
    plugins = ("pulumi-resource-hcloud", "pulumi-resource-talos")
    return [
        _own_module("lab-node", lab / "node", {".": paths.BIN / "lab-node"}),
        _own_module(
            "plugins", lab / "plugins", {f"./cmd/{name}": paths.PLUGINS / name for name in plugins}
        ),
        _own_module(
            "kubernetes-plugin",
            lab / "kubernetes-plugin",
            {".": paths.PLUGINS / "pulumi-resource-kubernetes"},
        ),
    ]


def _own_module(name: str, module: Path, packages: dict[str, Path]) -> Tool:
    executables = [Executable(package=package, file=file) for package, file in packages.items()]
    return Tool(name=name, module=module, executables=executables)
