"""Images of the Kubernetes components in a machine config: which version runs is no business of a config change."""

from collections.abc import Iterable
from typing import Any

import yaml

from .config_changes import load_documents

_COMPONENTS = (
    ("machine", "kubelet"),
    ("cluster", "apiServer"),
    ("cluster", "controllerManager"),
    ("cluster", "scheduler"),
    ("cluster", "proxy"),
)


def with_versions_of(live: str, wanted: str) -> str:
    """
    The wanted config with the component versions of the live one.

    Other versions in a config would move all components of a node at once, without the checks, the order and the
    pulls of an upgrade. A changed registry or repository is kept.
    """
    documents = load_documents(wanted)
    running = _components(load_documents(live))
    changed = False
    for key, component in _components(documents).items():
        image = str(component.get("image") or "")
        name, tag = _split(image)
        _, running_tag = _split(str(running.get(key, {}).get("image") or ""))
        if tag and running_tag and tag != running_tag:
            component["image"] = f"{name}:{running_tag}"
            changed = True
    if not changed:
        return wanted
    text: str = yaml.safe_dump_all(documents, sort_keys=False)
    return text


def _components(documents: Iterable[Any]) -> dict[tuple[str, str], dict[str, Any]]:
    """The components' sections of the main document, the one without a kind."""
    main = next((d for d in documents if isinstance(d, dict) and "kind" not in d), {})
    found = {}
    for section, component in _COMPONENTS:
        value = (main.get(section) or {}).get(component)
        if isinstance(value, dict):
            found[section, component] = value
    return found


def _split(image: str) -> tuple[str, str]:
    """Name and tag of an image; one that is pinned by digest has no tag to change."""
    if "@" in image:
        return image, ""
    name, colon, tag = image.rpartition(":")
    return (name, tag) if colon and "/" not in tag else (image, "")
