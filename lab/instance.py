"""A running lab: its state directory, its daemons, and the environment in which tools act on it."""

from __future__ import annotations

import os
import secrets
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from lab import orphans, paths, provider_plugins, settings
from lab.daemon import Daemon
from lab.errors import LabError

FOREIGN = ("PULUMI_CONFIG_PASSPHRASE", "PULUMI_ACCESS_TOKEN", "PULUMI_STACK")
"""Variables that would make the lab's commands act on a person's own stacks."""

_LOOPBACK = "127.0.0.0/8,localhost,::1"
_NO_VPN = f"{_LOOPBACK},127.0.0.1"
"""The address by itself is for clients that do not know ranges."""


class Lab:
    """One instance of the lab; several live beside each other in directories of their own.

    Args:
        state_dir: where it keeps everything; default: LAB_STATE, else `.lab/state`.

    Raises:
        LabError: the state cannot be read, or no address range is free.
    """

    def __init__(self, state_dir: str | Path | None = None) -> None:
        default = paths.default_state()
        self.state_dir = Path(state_dir).resolve() if state_dir else default
        self.settings = settings.load(
            self.state_dir / "lab.json", spread=self.state_dir != paths.LAB / "state"
        )

    @property
    def endpoint(self) -> str:
        """Base URL of the Hetzner Cloud API, for hcloud:endpoint."""
        return self.settings.endpoint

    @property
    def token(self) -> str:
        """Token of the Hetzner Cloud API."""
        return self.settings.token

    @property
    def home(self) -> Path:
        """PULUMI_HOME of the instance."""
        return self.state_dir / "pulumi-home"

    @property
    def kubeconfig(self) -> Path:
        """Where the cluster's kubeconfig goes."""
        return self.state_dir / "kubeconfig"

    @property
    def talosconfig(self) -> Path:
        """Where the cluster's talosconfig goes."""
        return self.state_dir / "talosconfig"

    @property
    def vpn_file(self) -> Path:
        """Exists while the lab's commands are inside the private networks; may name one by id."""
        return self.state_dir / "vpn"

    @property
    def vpn_url(self) -> str | None:
        """The proxy that the lab's commands go through; None while they are outside."""
        if not self.vpn_file.exists():
            return None
        network = self.vpn_file.read_text().strip()
        return f"http://{f'{network}@' if network else ''}{self.settings.vpn}"

    @property
    def daemons(self) -> list[Daemon]:
        """The daemons in the order of their start."""
        s = self.settings
        log = self.state_dir / "log"
        nodes_url = f"http://127.0.0.1:{s.node_port}"
        nodes = Daemon(
            name="lab-node",
            command=[
                str(paths.BIN / "lab-node"),
                *("--state-dir", str(self.state_dir / "nodes")),
                *("--listen", f"127.0.0.1:{s.node_port}"),
                *("--claim", s.claim),
                *("--internal-prefix", s.internal_prefix),
                *("--bin-dir", str(paths.BIN)),
                *("--kubernetes-dir", str(paths.KUBERNETES)),
                *("--boot-seconds", os.environ.get("LAB_BOOT_SECONDS", "1")),
                *("--check-seconds", os.environ.get("LAB_CHECK_SECONDS", "1")),
                *("--vpn", s.vpn),
            ],
            health=f"{nodes_url}/_lab/health",
            directory=log,
        )
        hetzner = Daemon(
            name="hetzner",
            command=[
                *(str(paths.PYTHON), "-m", "lab.hetzner"),
                *("--state-file", str(self.state_dir / "hetzner.json")),
                *("--listen", f"127.0.0.1:{s.api_port}"),
                *("--nodes", nodes_url),
                *("--public-prefix", s.public_prefix),
                *("--action-seconds", os.environ.get("LAB_ACTION_SECONDS", "0.2")),
                *("--token", s.token),
            ],
            health=f"http://127.0.0.1:{s.api_port}/_lab/health",
            directory=log,
            cwd=paths.ROOT,
        )
        return [nodes, hetzner]

    def prepare(self) -> None:
        """Makes what the environment refers to: directories, passphrase, plugins.

        Raises:
            LabError: a plugin is missing.
        """
        for folder in ("pulumi", "pulumi-home", "helm", "kube-cache", "talos"):
            (self.state_dir / folder).mkdir(parents=True, exist_ok=True)
        # The emulated disks hold machine secrets.
        self.state_dir.chmod(0o700)
        if not self._passphrase.exists():
            write_private(self._passphrase, secrets.token_urlsafe(32))
        provider_plugins.place(self.home)

    def start(self) -> None:
        """Starts the daemons that do not run and waits until they answer.

        Raises:
            LabError: a daemon could not be started; with the last lines of its log.
        """
        self.prepare()
        for daemon in self.daemons:
            daemon.start()

    def stop(self) -> list[str]:
        """Ends the daemons and orphaned plugins, keeps all state, and returns what was ended."""
        ended = orphans.end(self.home)
        return [*ended, *(one.name for one in reversed(self.daemons) if one.stop())]

    def running(self) -> bool:
        """Tells whether all daemons run."""
        return all(daemon.running() for daemon in self.daemons)

    def kill_orphans(self) -> list[str]:
        """Ends plugins and their talosctl whose engine is gone, and returns what they were."""
        return orphans.end(self.home)

    def variables(self) -> dict[str, str]:
        """The variables with which pulumi, kubectl, talosctl and helm act on this lab only."""
        found = {
            "PATH": _path_with(paths.BIN),
            "PULUMI_HOME": str(self.home),
            # A kill between a state and its .attrs file would leave a state that nobody can read.
            "PULUMI_BACKEND_URL": f"file://{self.state_dir / 'pulumi'}?metadata=skip",
            "PULUMI_CONFIG_PASSPHRASE_FILE": str(self._passphrase),
            "PULUMI_SKIP_UPDATE_CHECK": "true",
            "HCLOUD_ENDPOINT": self.endpoint,
            "HCLOUD_TOKEN": self.token,
            "KUBECONFIG": str(self.kubeconfig),
            "KUBECACHEDIR": str(self.state_dir / "kube-cache"),
            "TALOSCONFIG": str(self.talosconfig),
            "TALOS_HOME": str(self.state_dir / "talos"),
            "HELM_CACHE_HOME": str(self.state_dir / "helm" / "cache"),
            "HELM_CONFIG_HOME": str(self.state_dir / "helm" / "config"),
            "HELM_DATA_HOME": str(self.state_dir / "helm" / "data"),
            "LAB_STATE": str(self.state_dir),
        }
        if os.environ.get("LAB_PLUGINS") != provider_plugins.DOWNLOAD:
            found["PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION"] = "true"
        if vpn := self.vpn_url:
            # Whatever the person's own exceptions are, private addresses go through this proxy.
            found |= dict.fromkeys(("HTTPS_PROXY", "https_proxy"), vpn)
            return found | dict.fromkeys(("NO_PROXY", "no_proxy"), _NO_VPN)
        for name in ("NO_PROXY", "no_proxy"):
            before = os.environ.get(name, "")
            found[name] = before if _LOOPBACK in before else f"{before},{_LOOPBACK}".lstrip(",")
        return found

    def env(self) -> dict[str, str]:
        """The whole environment for a child that acts on this lab."""
        kept = {name: value for name, value in os.environ.items() if name not in FOREIGN}
        return {**kept, **self.variables()}

    def pulumi(
        self,
        *arguments: str,
        cwd: str | Path | None = None,
        check: bool = True,
        extra_env: Mapping[str, str] | None = None,
        **options: Any,
    ) -> subprocess.CompletedProcess[str]:
        """Runs the Pulumi CLI on this lab and captures what it writes.

        Args:
            arguments: the command line after `pulumi`.
            cwd: directory of the project; default: the checkout.
            check: raise when it fails.
            extra_env: variables on top of `env()`.
            options: further arguments of subprocess.run.

        Raises:
            LabError: it failed; with the last lines that it wrote.
        """
        self.prepare()
        result = subprocess.run(
            ["pulumi", "--non-interactive", *arguments],
            cwd=cwd or paths.ROOT,
            env={**self.env(), **(extra_env or {})},
            check=False,
            **{"capture_output": True, "text": True, "stdin": subprocess.DEVNULL, **options},
        )
        if check and result.returncode != 0:
            written = f"{result.stdout or ''}\n{result.stderr or ''}".strip().splitlines()
            told = "\n".join(f"  {line}" for line in written[-15:])
            raise LabError(f"pulumi {' '.join(arguments[:2])} failed:\n{told}")
        return result

    @property
    def _passphrase(self) -> Path:
        return self.state_dir / "passphrase"


@contextmanager
def running(state_dir: Path) -> Iterator[Lab]:
    """A lab of its own, stopped at the end, and also where it has not quite started."""
    lab = Lab(state_dir)
    try:
        lab.start()
        yield lab
    finally:
        lab.stop()


def write_private(file: Path, text: str) -> None:
    """Writes a file that only its owner can read."""
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    os.fchmod(descriptor, 0o600)
    with os.fdopen(descriptor, "w") as output:
        output.write(text)


def _path_with(first: Path) -> str:
    others = os.environ.get("PATH", os.defpath).split(os.pathsep)
    return os.pathsep.join([str(first), *(folder for folder in others if folder != str(first))])
