"""How Oxide behaves as a Pulumi program: quiet on Ctrl-C, one clean error for a bad configuration."""

import asyncio
import contextlib
import os
import signal
import sys
from typing import NoReturn

import pulumi

from .admin_address import stranger_address
from .config import ClusterConfig
from .errors import ConfigError

ADDRESS_WAIT = 3.0
"""Seconds that the end of a run may wait for the look-up of the operator's address."""

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


def warn_of_new_address(recorded: pulumi.Output[list[str]]) -> None:
    """Warn when the firewall admits the address that was found at creation and this run comes from another."""

    async def compare(cidrs: list[str]) -> list[str]:
        looked_up = asyncio.to_thread(stranger_address, cidrs)
        with contextlib.suppress(TimeoutError):
            if cidrs and (address := await asyncio.wait_for(looked_up, ADDRESS_WAIT)):
                pulumi.log.warn(
                    f"your address {address} is not among those that the firewall admits ({', '.join(cidrs)}); "
                    "if the cluster cannot be reached, set adminCidrs"
                )
        return cidrs

    # The SDK's stub knows functions and outputs only; a coroutine's result is awaited all the same.
    recorded.apply(compare)  # type: ignore[arg-type]
