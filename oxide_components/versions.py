"""Which versions of Talos, Kubernetes and Cilium fit together, and which steps lead from one to another."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from .errors import Problem, show

DEFAULT_TALOS_VERSION: Final = "v1.13.9"
DEFAULT_KUBERNETES_VERSION: Final = "1.35.4"
DEFAULT_CILIUM_VERSION: Final = "1.19.6"

HCLOUD_CCM_CHART_VERSION: Final = "1.35.0"
"""Chart hcloud-cloud-controller-manager. Source: chart/Chart.yaml of hetznercloud/hcloud-cloud-controller-manager, August 2026."""

HCLOUD_CSI_CHART_VERSION: Final = "2.22.1"
"""Chart hcloud-csi. Source: chart/Chart.yaml of hetznercloud/csi-driver, August 2026."""

METRICS_SERVER_CHART_VERSION: Final = "3.13.1"
"""Chart metrics-server. Source: charts/metrics-server/Chart.yaml of kubernetes-sigs/metrics-server, August 2026."""

CERTIFICATE_APPROVER_IMAGE: Final = "ghcr.io/alex1989hu/kubelet-serving-cert-approver:0.11.0"
"""Approver of kubelets' serving certificates. Source: release v0.11.0 of alex1989hu/kubelet-serving-cert-approver, whose images carry the version without v."""

DEFAULT_SCHEMATIC_ID: Final = "376567988ad370138ad8b2698212367b8edcb69b5fd68c80be1f2ec7d603b4ba"
"""Image Factory's schematic without any system extension."""

TALOSCTL_PAGE: Final = "https://www.talos.dev/latest/talos-guides/install/talosctl/"

# Releases are tagged without leading zeros, and Python reads no number of thousands of digits.
_NUMBER: Final = r"(0|[1-9][0-9]{0,8})"
_VERSION: Final = re.compile(
    rf"{_NUMBER}\.{_NUMBER}\.{_NUMBER}(?:-((?:alpha|beta|rc)\.(?:0|[1-9][0-9]{{0,8}})))?"
)
_TALOSCTL: Final = re.compile(rf"v{_NUMBER}\.{_NUMBER}\.[0-9]")
_MINOR: Final = re.compile(rf"{_NUMBER}\.{_NUMBER}")


@dataclass(frozen=True, order=True)
class Minor:
    """A major and minor version, such as 1.35."""

    major: int
    minor: int

    def __str__(self) -> str:
        return f"{self.major}.{self.minor}"


@dataclass(frozen=True)
class Version:
    """A full version, such as 1.35.4 or 1.14.0-rc.1."""

    major: int
    minor: int
    patch: int
    pre_release: str = ""

    @property
    def series(self) -> Minor:
        """Major and minor alone."""
        return Minor(self.major, self.minor)

    def __str__(self) -> str:
        suffix = f"-{self.pre_release}" if self.pre_release else ""
        return f"{self.major}.{self.minor}.{self.patch}{suffix}"


def _span(first: int, last: int) -> tuple[Minor, ...]:
    return tuple(Minor(1, minor) for minor in range(first, last + 1))


TALOS_KUBERNETES: Final[dict[Minor, tuple[Minor, ...]]] = {
    Minor(1, 11): _span(29, 34),
    Minor(1, 12): _span(30, 35),
    Minor(1, 13): _span(31, 36),
    Minor(1, 14): _span(32, 37),
}
"""Kubernetes minors that each Talos minor runs.

Source: the support matrix of each Talos release and the tables of talosctl (pkg/machinery/compatibility of siderolabs/talos), with which
tests compare those minors that the lab's Talos library knows.
"""

CILIUM_KUBERNETES: Final[dict[Minor, tuple[Minor, ...]]] = {
    Minor(1, 18): _span(30, 33),
    Minor(1, 19): _span(32, 35),
}
"""Kubernetes minors that each Cilium minor is tested with.

Source: Documentation/network/kubernetes/compatibility.rst of each release branch of cilium/cilium.
"""

CILIUM_GATEWAY_API: Final[dict[Minor, str]] = {
    Minor(1, 18): "v1.3.0",
    Minor(1, 19): "v1.4.1",
}
"""Version of the Gateway API that each Cilium minor implements.

Sources: for 1.19 Documentation/network/servicemesh/gateway-api/gateway-api.rst of v1.19.6. That page of v1.18.8 still names v1.2.0, which
its operator is no longer built with: go.mod has had a successor of v1.3.0 since v1.18.0, and what became 1.18 has passed the core
conformance tests of v1.3.0 (conformance/reports/v1.3.0/cilium-cilium of kubernetes-sigs/gateway-api). The definitions of v1.3.0 have all of v1.2.0.
"""

MINIMUM_TALOS: Final = Minor(1, 12)
"""HostnameConfig, StaticHostConfig and LinkConfig, on which Oxide builds, exist from this minor on."""

PROVIDER_CONTRACT: Final = Minor(1, 13)
"""Newest config contract of the Talos library inside the provider (pulumiverse-talos 0.8, machinery 1.13)."""


def parse(text: str) -> Version | None:
    """The version that a text like 1.35.4 or 1.14.0-rc.1 names, or None."""
    match = _VERSION.fullmatch(text)
    if match is None:
        return None
    major, minor, patch, pre_release = match.groups()
    return Version(int(major), int(minor), int(patch), pre_release or "")


def parse_talos(text: str) -> Version | None:
    """The version that a Talos tag like v1.13.9 names, or None."""
    return parse(text[1:]) if text.startswith("v") else None


def parse_contract(text: str) -> Minor | None:
    """The minor that a config contract like v1.13 names, or None."""
    match = _MINOR.fullmatch(text[1:]) if text.startswith("v") else None
    return None if match is None else Minor(int(match[1]), int(match[2]))


def version_problem(setting: str, text: str, example: str) -> Problem | None:
    """
    Why a text is no full version; None if it is one.

    Args:
        example: A right one, which has a leading v where the wanted one has one.
    """
    prefix = "v" if example.startswith("v") else ""
    if (parse_talos if prefix else parse)(text) is not None:
        return None
    bare = parse(text.lstrip("v"))
    reason = (
        "is not a full version"
        if bare is None
        else "lacks its leading v"
        if prefix
        else "has a leading v"
    )
    return Problem(
        setting=setting,
        value=show(text),
        reason=reason,
        way_out=f"write {prefix}{bare or example.lstrip('v')}",
    )


def contract_of(talos_version: str) -> str:
    """Config contract for a cluster created with that Talos version.

    It is the version's own minor, but never newer than the provider can generate: a config with an older contract loads on a
    newer Talos, never the other way round.
    """
    version = parse_talos(talos_version)
    if version is None:
        raise ValueError(f"{talos_version} is not a Talos version")
    return f"v{min(version.series, PROVIDER_CONTRACT)}"


def installer_image(schematic_id: str, talos_version: str) -> str:
    """Installer image for nodes on Hetzner Cloud, from Talos' Image Factory."""
    return f"factory.talos.dev/hcloud-installer/{schematic_id}:{talos_version}"


def minor_path(current: Minor, wanted: Minor) -> str:
    """The steps from one minor to another of the same major as text: `1.34 -> 1.35 -> 1.36`."""
    step = 1 if wanted.minor >= current.minor else -1
    return " -> ".join(
        f"{current.major}.{m}" for m in range(current.minor, wanted.minor + step, step)
    )


def kubernetes_step_problem(current: str, wanted: str) -> str | None:
    """Why a live cluster cannot go from one Kubernetes version to another, with the way out; None if it can.

    Kubernetes moves within its minor, to an older patch too, or one minor up, never to an older minor. talosctl has the same rule
    (kubernetes/upgrade/path.go of siderolabs/go-kubernetes).
    """
    here, there = parse(current), parse(wanted)
    if here is None or there is None:
        raise ValueError(f"{current} -> {wanted} are not Kubernetes versions")
    if here.major == there.major and there.minor in (here.minor, here.minor + 1):
        return None
    if there.series < here.series:
        return (
            f"Kubernetes {current} cannot go back to {wanted}, an older minor; "
            f"stay at {here.series}, or restore a snapshot into a new cluster"
        )
    return (
        f"Kubernetes {current} cannot go to {wanted} at once, only one minor at a time; "
        f"set kubernetesVersion along {minor_path(here.series, there.series)}, one `pulumi up` each"
    )


def talos_step_problem(current: str, wanted: str) -> str | None:
    """Why live nodes cannot go from one Talos version to another, with the way out; None if they can.

    Talos moves one minor at a time, upwards or back. Its installers would also take hosts two minors older
    (pkg/machinery/compatibility), but Sidero Labs tests and supports one.
    """
    here, there = parse_talos(current), parse_talos(wanted)
    if here is None or there is None:
        raise ValueError(f"{current} -> {wanted} are not Talos versions")
    if here.major == there.major and abs(here.minor - there.minor) <= 1:
        return None
    return (
        f"Talos {current} cannot go to {wanted} at once, only one minor at a time; "
        f"set talosVersion along {minor_path(here.series, there.series)}, one `pulumi up` each"
    )


def order_problem(running: str, talos: str, cilium: str) -> str | None:
    """Why a live cluster cannot take both Talos and Cilium versions, with the way out; None if it can.

    Both are rolled out before Kubernetes moves, so what is fit for the wanted Kubernetes has to be fit for the running one as well.

    Args:
        running: Kubernetes version that the cluster runs now.
        talos: Wanted Talos version.
        cilium: Wanted Cilium version.
    """
    here, new_talos, new_cilium = parse(running), parse_talos(talos), parse(cilium)
    if here is None or new_talos is None or new_cilium is None:
        raise ValueError(f"{running}, {talos} or {cilium} is not a version")
    for name, setting, version, takes in (
        ("Talos", "talosVersion", talos, TALOS_KUBERNETES.get(new_talos.series)),
        ("Cilium", "ciliumVersion", cilium, CILIUM_KUBERNETES.get(new_cilium.series)),
    ):
        if takes is None or here.series in takes:
            continue
        reason = (
            f"{name} {version} takes Kubernetes {_range(takes)}, and the cluster runs {running}"
        )
        if here.series > takes[-1]:
            return f"{reason}, which cannot go back; keep a {setting} that takes it"
        return (
            f"{reason} until {name} has moved; keep {setting}, set kubernetesVersion along "
            f"{minor_path(here.series, takes[0])}, one `pulumi up` each, and then {setting}"
        )
    return None


def talosctl_problem(client: str, wanted: str) -> str | None:
    """Why a talosctl cannot bring nodes to a Talos version, with the way out; None if it can.

    Its minor must not be older, because its tables of what is compatible end there. Newer ones know the older minors.

    Args:
        client: Version of talosctl, such as v1.13.0.
        wanted: Talos version, with v.
    """
    there, match = parse_talos(wanted), _TALOSCTL.match(client)
    if there is None or match is None:
        raise ValueError(f"{client} or {wanted} is not a Talos version")
    if Minor(int(match[1]), int(match[2])) >= there.series:
        return None
    return (
        f"talosctl {client} is older than Talos {there.series}; "
        f"install talosctl {wanted} ({TALOSCTL_PAGE}) and run `pulumi up` again"
    )


def skew_problems(talos: Version, kubernetes: Version, cilium: Version) -> list[Problem]:
    """What keeps three versions from running together."""
    problems = []
    if talos.series < MINIMUM_TALOS:
        problems.append(
            Problem(
                setting="talosVersion",
                value=f"v{talos}",
                reason=f"is older than Talos {MINIMUM_TALOS}, whose network documents Oxide needs",
                way_out=f"use {DEFAULT_TALOS_VERSION}",
            )
        )
    elif talos.series not in TALOS_KUBERNETES:
        problems.append(
            Problem(
                setting="talosVersion",
                value=f"v{talos}",
                reason="is a minor that this release of Oxide does not know",
                way_out=f"use one of {_listed(m for m in TALOS_KUBERNETES if m >= MINIMUM_TALOS)}",
            )
        )
    elif kubernetes.series not in TALOS_KUBERNETES[talos.series]:
        problems.append(
            Problem(
                setting="kubernetesVersion",
                value=str(kubernetes),
                reason=f"does not run on Talos v{talos}, which takes Kubernetes "
                f"{_range(TALOS_KUBERNETES[talos.series])}",
                way_out=_talos_way_out(talos.series, kubernetes.series),
            )
        )
    if cilium.series not in CILIUM_KUBERNETES:
        problems.append(
            Problem(
                setting="ciliumVersion",
                value=str(cilium),
                reason="is a minor that this release of Oxide does not know",
                way_out=f"use one of {_listed(CILIUM_KUBERNETES)}",
            )
        )
    elif kubernetes.series not in CILIUM_KUBERNETES[cilium.series]:
        problems.append(
            Problem(
                setting="ciliumVersion",
                value=str(cilium),
                reason=f"is tested with Kubernetes {_range(CILIUM_KUBERNETES[cilium.series])} and not with "
                f"{kubernetes.series}",
                way_out=_cilium_way_out(kubernetes.series),
            )
        )
    return problems


def contract_problem(contract: str, talos: Version) -> Problem | None:
    """Why a config contract does not fit the Talos version of the nodes or the provider."""
    minor = parse_contract(contract)
    reason = way_out = ""
    if minor is None:
        reason, way_out = "is not a config contract", "write a minor like v1.13"
    elif minor > talos.series:
        reason = f"is newer than talosVersion v{talos}, which could not load the config"
        way_out = f"use v{min(talos.series, PROVIDER_CONTRACT)}"
    elif minor > PROVIDER_CONTRACT:
        reason = f"is newer than the Talos provider generates, v{PROVIDER_CONTRACT}"
        way_out = f"use v{PROVIDER_CONTRACT}; nodes of Talos v{talos} load it"
    elif minor < MINIMUM_TALOS:
        reason = f"is older than v{MINIMUM_TALOS}, from which on hosts are named by HostnameConfig"
        way_out = f"use v{MINIMUM_TALOS} or newer"
    if not reason:
        return None
    return Problem(setting="configContract", value=contract, reason=reason, way_out=way_out)


def _listed(minors: Iterable[Minor]) -> str:
    return ", ".join(map(str, minors))


def _range(minors: tuple[Minor, ...]) -> str:
    return f"{minors[0]} to {minors[-1]}"


def _talos_way_out(talos: Minor, kubernetes: Minor) -> str:
    fitting = [
        minor
        for minor, takes in TALOS_KUBERNETES.items()
        if minor >= MINIMUM_TALOS and kubernetes in takes
    ]
    other = f", or set talosVersion to a release of {_listed(fitting)}" if fitting else ""
    return f"use Kubernetes {_range(TALOS_KUBERNETES[talos])}{other}"


def _cilium_way_out(kubernetes: Minor) -> str:
    fitting = [minor for minor, tested in CILIUM_KUBERNETES.items() if kubernetes in tested]
    if not fitting:
        lists = (minor for tested in CILIUM_KUBERNETES.values() for minor in tested)
        return f"use Kubernetes {min(lists)} to {max(m for t in CILIUM_KUBERNETES.values() for m in t)}"
    default = parse(DEFAULT_CILIUM_VERSION)
    if default is not None and default.series in fitting:
        return f"set ciliumVersion to {default}"
    return f"set ciliumVersion to a release of {_listed(fitting)}"
