"""How Oxide behaves as a Pulumi program: quiet on Ctrl-C, one clean error for a bad configuration."""

import os
import signal
import sys
from typing import NoReturn

import pulumi

from .config import ClusterConfig
from .errors import ConfigError

SHOWN = 32
"""Exit code that tells Pulumi's Python host that the user has already been told."""


def quiet_interrupts() -> None:
    """End without a traceback: the host interrupts the program whenever a resource fails, not only on Ctrl-C."""
    signal.signal(signal.SIGINT, lambda *_: os._exit(SHOWN))


def load_config() -> ClusterConfig:
    """The stack's configuration; its problems end the program before anything is declared."""
    try:
        config = ClusterConfig.load(pulumi.Config())
    except ConfigError as error:
        fail(str(error))
    for warning in config.warnings:
        pulumi.log.warn(warning)
    return config


def fail(message: str) -> NoReturn:
    """End the program with one error and nothing else."""
    pulumi.log.error(message)
    sys.exit(SHOWN)


def save_commands() -> dict[str, str]:
    """Commands that save the credentials so that only their owner can read them."""
    return {
        name: f"pulumi stack output {name} --show-secrets | install -m 600 /dev/stdin {name}"
        for name in ("kubeconfig", "talosconfig")
    }


def wanted_versions(config: ClusterConfig) -> dict[str, str]:
    """What the cluster is meant to run."""
    return {
        "talos": config.talos_version,
        "kubernetes": config.kubernetes_version,
        "cilium": config.cilium_version,
    }
