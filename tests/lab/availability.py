"""An application with a budget for disruptions, and how much of it is available while a cluster changes under it."""

import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from .stacks import Stack

NAME = "web"
PAUSE = 0.2
"""Seconds between two questions, so that asking does not keep the machine from answering."""


@contextmanager
def watched(stack: Stack) -> Iterator[list[int]]:
    """Number of available replicas, asked again and again; a silent API counts as none."""
    seen: list[int] = []
    over = threading.Event()

    def watch() -> None:
        while not over.wait(PAUSE):
            try:
                text = stack.kubectl(
                    "get", "deployment", NAME, "-o", "json", "--request-timeout=5s"
                )
                seen.append(json.loads(text)["status"].get("availableReplicas", 0))
            except AssertionError:
                seen.append(0)

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield seen
    finally:
        over.set()
        thread.join()


def run_application(stack: Stack, *, replicas: int, budget: int) -> None:
    """Start the application and wait until all of it is available."""
    stack.apply(deployment(replicas), disruption_budget(budget))
    stack.kubectl("rollout", "status", f"deployment/{NAME}", "--timeout=60s")


def deployment(replicas: int) -> Mapping[str, object]:
    """The application, spread over the nodes as long as there are several."""
    labels = {"app": NAME}
    spread = {
        "maxSkew": 1,
        "topologyKey": "kubernetes.io/hostname",
        "whenUnsatisfiable": "ScheduleAnyway",
        "labelSelector": {"matchLabels": labels},
    }
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": NAME, "namespace": "default"},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": labels},
            "template": {
                "metadata": {"labels": labels},
                "spec": {
                    "topologySpreadConstraints": [spread],
                    "containers": [{"name": NAME, "image": "registry.k8s.io/pause:3.10"}],
                },
            },
        },
    }


def disruption_budget(available: int) -> Mapping[str, object]:
    """The number of replicas that evictions have to leave."""
    return {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": {"name": NAME, "namespace": "default"},
        "spec": {"minAvailable": available, "selector": {"matchLabels": {"app": NAME}}},
    }
