"""Puts the model's world in place of what the life-cycle providers talk to."""

import contextlib
import functools
import sys
import time
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import oxide_components
from oxide_components import (
    component_images,
    config_changes,
    dynamic_provider,
    fleet,
    hetzner_api,
    recorded_failure,
    recover,
)
from oxide_components.kubernetes_api import KubernetesApi
from oxide_components.talosctl import Talosctl

from .cloud import Client
from .fake_kubernetes import FakeKubernetesApi
from .fake_talosctl import FakeTalosctl
from .world import World

_changed_keys = functools.lru_cache(maxsize=4096)(config_changes.changed_keys)
_with_versions_of = functools.lru_cache(maxsize=4096)(component_images.with_versions_of)


@contextlib.contextmanager
def in_place(world: World, failures: list[tuple[str, dict[str, Any], str]]) -> Iterator[None]:
    """
    Put the world in place of talosctl, the Kubernetes API, Hetzner's client and the clock, in every module of Oxide.

    Args:
        failures: Gets what providers want recorded although they failed.
    """
    clock = SimpleNamespace(
        **{name: getattr(time, name) for name in dir(time) if not name.startswith("_")}
    )
    clock.sleep, clock.monotonic, clock.time = world.sleep, world.monotonic, world.monotonic
    api = type("Api", (FakeKubernetesApi,), {"world": world})
    instead: dict[int, Any] = {
        id(time): clock,
        id(Talosctl): lambda _talosconfig: FakeTalosctl(world),
        id(KubernetesApi): api,
        id(dynamic_provider.cluster_lock): contextlib.nullcontext,
        id(recover.hetzner_client): lambda _pulumi: Client(world),
        id(recorded_failure.record_failure): lambda *args: failures.append(args),
        # The same few configs are compared over and over, and parsing them is most of the work.
        id(config_changes.changed_keys): _changed_keys,
        id(component_images.with_versions_of): _with_versions_of,
        id(hetzner_api.client): lambda: Client(world),
        id(recover.end_orphans): list,
    }
    kept: list[tuple[Any, str, Any]] = []

    def put(module: Any, name: str, value: Any) -> None:
        kept.append((module, name, getattr(module, name)))
        setattr(module, name, value)

    for module in _modules():
        for name, value in list(vars(module).items()):
            if id(value) in instead:
                put(module, name, instead[id(value)])
    put(dynamic_provider, "_log", lambda *_args, **_options: None)
    # A run is a process of its own.
    fleet._clusters.clear()
    try:
        yield
    finally:
        for module, name, value in reversed(kept):
            setattr(module, name, value)


def _modules() -> list[Any]:
    prefix = f"{oxide_components.__name__}."
    return [module for name, module in sys.modules.items() if name.startswith(prefix)]
