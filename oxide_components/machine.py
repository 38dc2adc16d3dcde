"""One living node as the operator reaches it: its Talos API, through whichever control plane gets there."""

import re
from collections.abc import Sequence

import yaml

from .errors import without_values
from .etcd import ControlPlane
from .talosctl import Talosctl, TalosError

_PROBE_TIMEOUT = 8.0
_READ_TIMEOUT = 30.0
_APPLY_TIMEOUT = 60.0
_NEEDS_REBOOT = re.compile(r"can't be applied in immediate mode|requires a reboot")
_TAG = re.compile(r"Tag:\s+(\S+)")
_LOST = re.compile(r"Unavailable|EOF|no answer within|connection (reset|closed)")
_REASON_LENGTH = 300
BOOT_ID = "/proc/sys/kernel/random/boot_id"
"""File of a node that is different after every boot; its kubelet reports it too."""


class Machine:
    """
    The Talos API of one node.

    Args:
        talosctl: Credentials of the cluster.
        name: Name of the node.
        address: Its private address.
        control_planes: Ways to it. A control plane goes through the others first, which stay while it restarts.
    """

    def __init__(
        self,
        talosctl: Talosctl,
        name: str,
        address: str,
        control_planes: Sequence[ControlPlane],
    ) -> None:
        self.name = name
        self._talosctl = talosctl
        self._address = address
        self._ways = sorted(control_planes, key=lambda way: way["name"] == name)

    def silent_reason(self) -> str | None:
        """None when the node answers, else why not."""
        try:
            self.ask("version")
        except TalosError as error:
            return str(error)
        return None

    def config(self) -> str:
        """
        The machine config that the node runs with.

        Raises:
            TalosError: It does not answer.
        """
        # As YAML the resource is a document whose spec is the config's text.
        answer = self.ask("get", "machineconfig", "v1alpha1", "-o", "yaml", timeout=_READ_TIMEOUT)
        try:
            return str(yaml.safe_load(answer)["spec"])
        except (yaml.YAMLError, KeyError, TypeError):
            # The parser would quote the config.
            raise TalosError(f"{self.name} has not answered with a machine config") from None

    def apply(self, config: str, *, staged: bool = False) -> bool:
        """
        Hand the node a new config.

        Args:
            config: The whole machine config.
            staged: Let it take effect with the next boot.

        Returns:
            False when the config needs a reboot and nothing was changed.

        Raises:
            TalosError: The node refuses it, or does not answer.
        """
        mode = "staged" if staged else "no-reboot"
        with self._talosctl.file(config) as file:
            try:
                self.run("apply-config", f"--mode={mode}", f"--file={file}", timeout=_APPLY_TIMEOUT)
            except TalosError as error:
                if not staged and _NEEDS_REBOOT.search(str(error) + error.output):
                    return False
                # Talos' answer may quote the config.
                raise TalosError(
                    f"talosctl apply-config on {self._address}: {_reason(error)}"
                ) from None
        return True

    def boot_id(self) -> str:
        """
        What is different after every boot.

        Raises:
            TalosError: The node does not answer.
        """
        return self.ask("read", BOOT_ID).strip()

    def version(self) -> str:
        """
        Talos version that the node runs, such as v1.13.9.

        Raises:
            TalosError: It does not answer.
        """
        answer = self.ask("version")
        found = _TAG.search(answer.partition("Server:")[2])
        if found is None:
            raise TalosError(f"{self.name} has not answered with its version")
        return found[1]

    def reboot(self) -> None:
        """
        Ask the node to restart. A lost answer is none: a node that restarts may not get to it.

        Raises:
            TalosError: The node refuses.
        """
        try:
            self.run("reboot", "--wait=false", timeout=60)
        except TalosError as error:
            if not self.is_lost_answer(error):
                raise

    @staticmethod
    def is_lost_answer(error: TalosError) -> bool:
        """Whether a call may have been carried out although its answer is an error."""
        return _LOST.search(str(error)) is not None

    def ask(self, *args: str, timeout: float = _PROBE_TIMEOUT) -> str:
        """
        What the node answers to a call that changes nothing.

        Raises:
            TalosError: It refuses, or nobody gets the call there.
        """
        return self._through(*args, timeout=timeout)[1]

    def run(self, *args: str, timeout: float = 30) -> str:
        """
        One call, made exactly once.

        Raises:
            TalosError: The call failed, or nobody gets it there.
        """
        return self._talosctl.run(
            *args, node=self._address, endpoint=self._way()["public_address"], timeout=timeout
        )

    def _way(self) -> ControlPlane:
        """The first control plane that gets a harmless call to the node."""
        return self._through("version")[0]

    def _through(self, *args: str, timeout: float = _PROBE_TIMEOUT) -> tuple[ControlPlane, str]:
        """The first control plane that gets a call to the node, and the answer; made through several, so it may change nothing."""
        error = TalosError(f"{self.name}: no control plane to go through")
        for way in self._ways:
            try:
                answer = self._talosctl.run(
                    *args, node=self._address, endpoint=way["public_address"], timeout=timeout
                )
            except TalosError as caught:
                error = caught
            else:
                return way, answer
        raise error


def _reason(error: TalosError) -> str:
    """Why the node refuses, without the config that Talos quotes."""
    said = without_values(error.output or str(error))
    return said.removeprefix("error applying new configuration: ")[:_REASON_LENGTH]
