"""Machine configs for the model: what the Talos provider's generator does, as far as a roll-out can tell."""

import functools
import re
from collections.abc import Sequence
from typing import Any

import yaml

# libyaml where there is one: parsing is most of a test's time.
_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_Dumper: Any = getattr(yaml, "CSafeDumper", yaml.SafeDumper)


def generated(machine_type: str, kubernetes: str, patches: Sequence[str]) -> str:
    """Config of a machine type with strategic merge patches, as several YAML documents."""
    control_plane = machine_type == "controlplane"
    documents: dict[tuple[str, str], dict[str, Any]] = {
        ("", ""): {
            "version": "v1alpha1",
            "machine": {
                "type": machine_type,
                "token": "planted-token",
                "kubelet": {"image": f"kubelet:v{kubernetes}"},
            },
            "cluster": {"apiServer": {"image": f"kube-apiserver:v{kubernetes}"}}
            if control_plane
            else {},
        }
    }
    for patch in patches:
        for document in yaml.load_all(patch, _Loader):
            if document is not None:
                key = (str(document.get("kind", "")), str(document.get("name", "")))
                documents[key] = _merged(documents.get(key, {}), document)
    return yaml.dump_all(documents.values(), Dumper=_Dumper, sort_keys=True)


@functools.lru_cache(maxsize=4096)
def main_document(config: str) -> dict[str, Any]:
    """The document without a kind."""
    return next(d for d in yaml.load_all(config, _Loader) if d and "kind" not in d)


def with_kubernetes(config: str, version: str) -> str:
    """The config as `talosctl upgrade-k8s` leaves it."""
    return re.sub(r"image: (kubelet|kube-apiserver):\S+", rf"image: \1:v{version}", config)


@functools.lru_cache(maxsize=4096)
def kubelet_version(config: str) -> str:
    """Version of the kubelet that the config makes a node run."""
    image: str = main_document(config)["machine"]["kubelet"]["image"]
    return image.rpartition(":")[2]


def needs_reboot(old: str, new: str) -> bool:
    """Whether Talos refuses the change without one; `machine.udev` stands for everything that needs it."""
    return _udev(old) != _udev(new)


def _udev(config: str) -> object:
    return main_document(config)["machine"].get("udev")


def _merged(old: dict[str, Any], patch: dict[str, Any]) -> dict[str, Any]:
    merged = dict(old)
    for key, value in patch.items():
        if isinstance(value, dict):
            if value.get("$patch") == "delete":
                merged.pop(key, None)
                continue
            before = merged.get(key)
            merged[key] = _merged(before if isinstance(before, dict) else {}, value)
        else:
            merged[key] = value
    return merged
