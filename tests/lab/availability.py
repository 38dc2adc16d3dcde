"""An application with a budget for disruptions, and how much of it is available while a cluster changes under it."""

import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

from oxide_components.kubernetes_api import ApiUnavailableError, KubernetesApi

from .stacks import Stack

NAME = "web"
PAUSE = 0.2
"""Seconds between two questions, so that asking does not keep the machine from answering."""

SILENCE = 15.0
"""Seconds without an answer that are an outage: an election of etcd's leader on a busy machine is shorter."""


@dataclass
class Availability:
    """What a client has seen of the application."""

    answers: int = 0
    """Number of times that the API has told."""
    shortages: list[str] = field(default_factory=list)
    """Each moment with fewer replicas than the budget leaves, and each outage of the API: time of day, and what was seen."""


@contextmanager
def watched(stack: Stack, budget: int) -> Iterator[Availability]:
    """
    The application's available replicas, asked again and again of whichever control plane answers.

    An API that no control plane serves for longer than `SILENCE` is an outage.
    """
    api = KubernetesApi(stack.outputs()["kubeconfig"], timeout=5)
    seen = Availability()
    over = threading.Event()

    def shortage(what: str) -> None:
        seen.shortages.append(f"{time.strftime('%H:%M:%S')} {what}")

    def watch() -> None:
        answered = time.monotonic()
        while not over.wait(PAUSE):
            try:
                available = _available(api)
            except ApiUnavailableError as error:
                silent = time.monotonic() - answered
                if silent > SILENCE:
                    shortage(f"no answer for {silent:.1f} s: {error}")
            else:
                seen.answers += 1
                answered = time.monotonic()
                if available < budget:
                    shortage(f"{available} available")

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield seen
    finally:
        over.set()
        thread.join()


def _available(api: KubernetesApi) -> int:
    (found,) = api.items(f"/apis/apps/v1/deployments?fieldSelector=metadata.name%3D{NAME}")
    return int(found["status"].get("availableReplicas", 0))


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
