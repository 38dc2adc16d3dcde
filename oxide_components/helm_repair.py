"""What has to happen before Helm installs or upgrades: a killed run leaves an operation that blocks all others."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pulumi

from .helm_history import HelmHistory
from .kubernetes_api import KubernetesApi
from .orphans import end_orphans


def repair_hooks(
    name: str,
    kubeconfig: pulumi.Input[str],
    *,
    namespace: str,
    release: str,
    timeout: int,
) -> pulumi.ResourceHookBinding:
    """
    Hooks for a Release that clear killed operations out of its history, right before Helm is asked. They never run in a preview.

    Args:
        name: Logical name of the Release, which the hooks' names begin with.
        kubeconfig: Kubeconfig of the cluster.
        release: The release's own name.
        timeout: Seconds that one operation of Helm may take. Whatever others have begun is left alone for that long.
    """

    def hook(moment: str, clear: Callable[[HelmHistory], list[str]]) -> pulumi.ResourceHook:
        async def run(_args: pulumi.ResourceHookArgs) -> None:
            text = await pulumi.Output.from_input(kubeconfig).future()
            history = HelmHistory(KubernetesApi(str(text)), namespace, release)
            for line in await asyncio.to_thread(clear, history):
                pulumi.log.info(line)

        return pulumi.ResourceHook(f"{name}-before-{moment}", run)

    def before_upgrade(history: HelmHistory) -> list[str]:
        return history.clear_for_upgrade(datetime.now(UTC), timedelta(seconds=timeout), end_orphans)

    return pulumi.ResourceHookBinding(
        before_create=[hook("install", HelmHistory.clear_for_install)],
        before_update=[hook("upgrade", before_upgrade)],
    )
