"""The stack that `make up` runs on a lab."""

from __future__ import annotations

import json
from typing import Any

import yaml

from lab import foreground, paths
from lab.errors import LabError
from lab.instance import Lab, write_private

_CONFIG_FILE = paths.ROOT / f"Pulumi.{paths.STACK}.yaml"

_DEFAULTS = {
    "clusterName": "lab",
    "controlPlanes": "3",
    "workers": "2",
    "adminCidrs[0]": "127.0.0.0/8",
    "deletionProtection": "false",
    "ciliumChart": "./lab/charts/cilium",
}
"""Set where the user has not: path of the setting -> value."""


def exists(lab: Lab) -> bool:
    """Tells whether the lab's backend holds the stack."""
    return any((lab.state_dir / "pulumi" / ".pulumi" / "stacks").glob(f"*/{paths.STACK}.json"))


def select(lab: Lab) -> None:
    """Selects the stack, makes it where it is missing, and sets what is unset.

    Raises:
        LabError: Pulumi refused.
    """
    if not exists(lab):
        _forget_foreign_secrets()
    lab.pulumi("stack", "select", paths.STACK, "--create")
    settings = _settings()
    missing = {
        path: value
        for path, value in _DEFAULTS.items()
        if _key(path.partition("[")[0]) not in settings
    }
    arguments = [f"--plaintext={path}={value}" for path, value in missing.items()]
    if settings.get("hcloud:endpoint") != lab.endpoint or "hcloud:token" not in settings:
        arguments.append(f"--plaintext=hcloud:endpoint={lab.endpoint}")
        arguments.append(f"--secret=hcloud:token={lab.token}")
    if arguments:
        lab.pulumi("config", "set-all", "--stack", paths.STACK, "--path", *arguments)


def up(lab: Lab) -> int:
    """Runs `pulumi up` in the foreground and returns its exit code."""
    return _pulumi(lab, "up", "--yes", "--skip-preview")


def destroy(lab: Lab) -> int:
    """Runs `pulumi destroy` in the foreground and returns its exit code."""
    return _pulumi(lab, "destroy", "--yes", "--skip-preview")


def remove(lab: Lab) -> None:
    """Removes the empty stack and its settings."""
    lab.pulumi("stack", "rm", "--yes", "--stack", paths.STACK)
    for file in (lab.kubeconfig, lab.talosconfig):
        file.unlink(missing_ok=True)


def save_credentials(lab: Lab) -> dict[str, Any]:
    """Writes kubeconfig and talosconfig, private to the owner, and returns all outputs.

    Raises:
        LabError: an output is missing.
    """
    shown = lab.pulumi("stack", "output", "--json", "--show-secrets", "--stack", paths.STACK)
    outputs: dict[str, Any] = json.loads(shown.stdout)
    for name, file in (("kubeconfig", lab.kubeconfig), ("talosconfig", lab.talosconfig)):
        if not isinstance(outputs.get(name), str):
            raise LabError(f"stack {paths.STACK} has no output {name}: run make up again")
        write_private(file, outputs[name])
    return outputs


def _pulumi(lab: Lab, *arguments: str) -> int:
    lab.prepare()
    command = ["pulumi", *arguments, "--stack", paths.STACK]
    return foreground.run(command, env=lab.env(), cwd=paths.ROOT)


def _settings() -> dict[str, Any]:
    try:
        document = yaml.safe_load(_CONFIG_FILE.read_text()) or {}
    except FileNotFoundError:
        return {}
    except yaml.YAMLError as error:
        raise LabError(f"{_CONFIG_FILE.name} is not YAML: {str(error).splitlines()[0]}") from None
    return dict(document.get("config") or {})


def _key(name: str) -> str:
    return name if ":" in name else f"{_project()}:{name}"


def _project() -> str:
    return str(yaml.safe_load((paths.ROOT / "Pulumi.yaml").read_text())["name"])


def _forget_foreign_secrets() -> None:
    """Drops what another passphrase has encrypted; the user's plain settings stay.

    The settings of a stack outlive the lab's state when somebody removes `.lab`.
    """
    if not _CONFIG_FILE.exists():
        return
    document = yaml.safe_load(_CONFIG_FILE.read_text()) or {}
    if "encryptionsalt" not in document:
        return
    settings = document.get("config") or {}
    kept = {
        name: value
        for name, value in settings.items()
        if not (isinstance(value, dict) and "secure" in value)
    }
    _CONFIG_FILE.write_text(yaml.safe_dump({"config": kept} if kept else {}))
