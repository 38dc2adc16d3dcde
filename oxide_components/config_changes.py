"""
What differs between two machine configs, as paths without any value, because values may be secrets.

A config is a text of several YAML documents: the main one, which has no kind, and others with apiVersion, kind and maybe a name.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

import yaml

from .errors import OxideError

IMMEDIATE_SECTIONS: Final = ("debug", "cluster")
"""Sections of the main document that Talos takes over at once, whatever changes in them."""

IMMEDIATE_MACHINE_KEYS: Final = (
    "ca",
    "acceptedCAs",
    "time",
    "certSANs",
    "install",
    "network",
    "sysfs",
    "sysctls",
    "logging",
    "controlPlane",
    "kubelet",
    "kernel",
    "registries",
    "pods",
    "seccompProfiles",
    "nodeAnnotations",
    "nodeLabels",
    "nodeTaints",
    "features.kubernetesTalosAPIAccess",
    "features.kubePrism",
    "features.hostDNS",
    "features.imageCache",
    "features.nodeAddressSortAlgorithm",
)
"""What Talos takes over at once below `machine`."""

_MAIN_SECTIONS: Final = ("version", "debug", "persist", "machine", "cluster")
_IMMEDIATE: Final = (*IMMEDIATE_SECTIONS, *(f"machine.{key}" for key in IMMEDIATE_MACHINE_KEYS))

_PLAIN_KEY: Final = re.compile(r"[\w-]+", re.ASCII)
_PLAIN_NAME: Final = re.compile(r"[\w.:/-]+", re.ASCII)


def changed_keys(old: str, new: str) -> list[str]:
    """Sorted paths that differ between two configs; never a value.

    A path is dotted, with keys that are no plain words in brackets: `machine.nodeLabels["oxide/pool"]`. Other documents begin with
    their kind and name: `LinkConfig/eth1.mtu`, and `StaticHostConfig/10.0.0.12` where the whole document comes or goes. Lists are
    compared as a whole. A missing key equals an empty one: null, {} and [], but not false, 0 or an empty text.

    Raises OxideError if a text is no machine config.
    """
    if old == new:
        return []
    before, after = _load(old), _load(new)
    return sorted(
        {
            path
            for name in before.keys() | after.keys()
            for path in _document_changes(name, before.get(name), after.get(name))
        }
    )


def same(old: str, new: str) -> bool:
    """Whether two configs say the same, however they are written. Raises as `changed_keys` does."""
    return not changed_keys(old, new)


def reboot_keys(keys: Iterable[str]) -> list[str]:
    """Those of the changed keys that Talos 1.12 and 1.13 cannot apply without a reboot, in the given order.

    The rule is `CanApplyImmediate` of siderolabs/talos, internal/app/machined/pkg/runtime/v1alpha1/v1alpha1_runtime.go, which is
    the same in release-1.12 and release-1.13: everything in the main document but the keys above. Documents other than the main
    one need no reboot. Talos 1.14 dropped the function: it applies every config without a reboot and refuses the mode `reboot`.
    """
    return [
        key
        for key in keys
        if any(_is_below(key, section) for section in _MAIN_SECTIONS)
        and not any(_is_below(key, path) for path in _IMMEDIATE)
    ]


def taints_of(config: str) -> list[tuple[str, str, str]]:
    """Taints with which a worker registers: key, value and effect of each. Raises as `changed_keys` does."""
    value: Any = _load(config).get("", {})
    for key in ("machine", "kubelet", "extraConfig", "registerWithTaints"):
        value = value.get(key) if isinstance(value, dict) else None
    taints = value if isinstance(value, list) else []
    return [
        (str(taint.get("key", "")), str(taint.get("value", "")), str(taint.get("effect", "")))
        for taint in taints
        if isinstance(taint, dict)
    ]


def summary(keys: Sequence[str], most: int = 6) -> str:
    """Changed keys as part of a sentence: the first `most` and the number of the others. Empty without keys."""
    shown = list(keys[:most])
    if len(keys) > most:
        return f"{', '.join(shown)} and {len(keys) - most} more"
    return " and ".join(filter(None, (", ".join(shown[:-1]), *shown[-1:])))


class _Loader(yaml.SafeLoader):
    """Reads plain scalars as Talos' YAML library does: `off` and 1:30 are texts, and dates too."""

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012


for _tag, _pattern, _first in (
    ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("bool", r"true|True|TRUE|false|False|FALSE", list("tTfF")),
    ("int", r"[-+]?(0|[1-9][0-9]*)", list("-+0123456789")),
    ("float", r"[-+]?(\.[0-9]+|[0-9]+\.[0-9]*)([eE][-+]?[0-9]+)?", list("-+.0123456789")),
):
    _Loader.add_implicit_resolver(
        f"tag:yaml.org,2002:{_tag}", re.compile(f"^(?:{_pattern})$"), _first
    )


def load_documents(config: str) -> list[Any]:
    """The documents of a machine config, read as Talos reads them. Raises OxideError if it is no YAML."""
    try:
        documents = list(yaml.load_all(config, _Loader))
        # A text that holds itself is valid YAML.
        json.dumps(documents, default=str)
    except (yaml.YAMLError, ValueError, RecursionError):
        # The parser quotes the place where it stopped, which may be a secret.
        raise OxideError("a machine config is not valid YAML; correct the config patches") from None
    return documents


def _load(config: str) -> dict[str, Any]:
    """Documents by kind and name, without their empty values; the main one is under the empty text."""
    documents = [_without_empty(document) for document in load_documents(config)]
    found: dict[str, Any] = {}
    for document in documents:
        if document is None:
            continue
        if not isinstance(document, dict):
            raise OxideError(
                "a machine config holds a document that is no mapping; correct the config patches"
            )
        # Talos refuses two documents of the same kind and name, so no one is lost here.
        found[_identity(document)] = document
    return found


def _identity(document: dict[Any, Any]) -> str:
    kind, name = document.get("kind"), document.get("name")
    if kind is None:
        return ""
    text = str(kind) if name is None else f"{kind}/{name}"
    return text if _PLAIN_NAME.fullmatch(text) else json.dumps(text)


def _document_changes(name: str, old: Any, new: Any) -> Iterator[str]:
    if name and (old is None or new is None):
        yield name
    else:
        yield from _changes(name, old, new)


def _changes(path: str, old: Any, new: Any) -> Iterator[str]:
    if all(value is None or isinstance(value, dict) for value in (old, new)):
        old, new = old or {}, new or {}
        for key in old.keys() | new.keys():
            yield from _changes(_join(path, key), old.get(key), new.get(key))
    elif _canonical(old) != _canonical(new):
        yield path


def _join(path: str, key: str) -> str:
    if not _PLAIN_KEY.fullmatch(key):
        return f"{path}[{json.dumps(key)}]"
    return f"{path}.{key}" if path else key


def _without_empty(value: Any) -> Any:
    """A value without the keys that are empty, at any depth; elements of lists stay."""
    if isinstance(value, list):
        return [_without_empty(item) for item in value]
    if not isinstance(value, dict):
        return value
    kept = {str(key): _without_empty(item) for key, item in value.items()}
    return {key: item for key, item in kept.items() if item is not None and item not in ({}, [])}


def _canonical(value: Any) -> str:
    """A text that tells true from 1 and 1 from 1.0, which are equal in Python and different to a kubelet."""
    return json.dumps(value, sort_keys=True, default=str)


def _is_below(key: str, path: str) -> bool:
    return key == path or key.startswith((f"{path}.", f"{path}["))
