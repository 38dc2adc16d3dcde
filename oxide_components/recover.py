"""
Finishes what a killed `pulumi up` left behind: `python -m oxide_components.recover`.

A killed engine leaves a lock and pending creations in the state. The objects behind those may exist at Hetzner; a
plain `up` would create them again and fail on their names. This command releases the lock, takes the objects that
exist into the state, forgets the others, and runs `pulumi refresh` and `pulumi up`. Provider plugins that outlived their engine are ended first.
"""

import argparse
import contextlib
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from typing import Any

from hcloud import APIException, Client

from .errors import OxideError
from .kubernetes_api import KubernetesApi
from .naming import LABEL_CLUSTER
from .orphans import end_orphans
from .pending_creates import LISTS, MADE_AGAIN, existing_id, pending_creates

API_TIMEOUT = 30
"""Seconds that Hetzner's API may take for one answer."""

RESTART_TIMEOUT = 600.0
"""Seconds that a control plane may take to restart, with the pull of its images on a slow day."""

_HCLOUD_PREFIX = "hcloud:index/"
_API_GATE_TYPE = "pulumi-python:dynamic/oxide:ApiGate"

_NEVER_RETURNED = frozenset({"userData", "sshKeys"})
"""Inputs that Hetzner never shows again. Kept, they would look like a change that replaces the server."""


def strangers(deployment: Mapping[str, Any], client: Client) -> list[str]:
    """
    Objects with this cluster's label that the state does not know, each with the command that removes it.

    They are named and left alone: another stack may own them.
    """
    resources = deployment.get("deployment", {}).get("resources") or []
    known = {(resource["type"], str(resource.get("id"))) for resource in resources}
    clusters = {
        (resource.get("inputs") or {}).get("labels", {}).get(LABEL_CLUSTER)
        for resource in resources
        if resource["type"].startswith(_HCLOUD_PREFIX)
    } - {None}
    return [
        f"{label} {found.name} (id {found.id}) carries this cluster's label but is not in the stack's state; "
        f"if nothing else owns it: hcloud {label} delete {found.id}"
        for type_token, listing in LISTS.items()
        for cluster in sorted(clusters)
        for found in listing(client).get_all(label_selector=f"{LABEL_CLUSTER}={cluster}")
        if (type_token, str(found.id)) not in known and (label := _command_noun(type_token))
    ]


def _command_noun(type_token: str) -> str:
    kind = type_token.removeprefix(_HCLOUD_PREFIX).split(":")[0]
    return "".join(f"-{letter.lower()}" if letter.isupper() else letter for letter in kind)


class PulumiCli:
    """The pulumi command on one stack."""

    def __init__(self, stack: str | None) -> None:
        executable = shutil.which("pulumi")
        if executable is None:
            raise OxideError("pulumi is not on PATH; install it and run this command again")
        self._executable = executable
        self._stack = ["--stack", stack] if stack else []

    def show(self, *args: str) -> int:
        """Run a command in the user's terminal and return its exit code."""
        return subprocess.run([self._executable, *args, *self._stack], check=False).returncode

    def read(self, *args: str) -> str:
        """
        Output of a command that must not ask anything.

        Raises:
            OxideError: It failed; with its last line.
        """
        return self._captured(args, None)

    def write(self, text: str, *args: str) -> None:
        """
        Feed a command through its standard input.

        Raises:
            OxideError: It failed; with its last line.
        """
        self._captured(args, text)

    def _captured(self, args: Sequence[str], text: str | None) -> str:
        done = subprocess.run(
            [self._executable, "--non-interactive", *args, *self._stack],
            check=False,
            input=text or "",
            capture_output=True,
            text=True,
        )
        if done.returncode != 0:
            lines = done.stderr.strip().splitlines() or ["no reason given"]
            raise OxideError(f"pulumi {' '.join(args)}: {lines[-1].removeprefix('error: ')}")
        return done.stdout


def hetzner_client(pulumi: PulumiCli) -> Client:
    """
    Client with the stack's own token and endpoint.

    Raises:
        OxideError: The stack has no token.
    """
    settings = json.loads(pulumi.read("config", "--show-secrets", "--json"))
    # The environment counts only where the stack says nothing: another project's token would see nothing of ours.
    token = settings.get("hcloud:token", {}).get("value") or os.environ.get("HCLOUD_TOKEN")
    endpoint = settings.get("hcloud:endpoint", {}).get("value") or os.environ.get("HCLOUD_ENDPOINT")
    if not token:
        raise OxideError(
            "the stack has no hcloud:token and HCLOUD_TOKEN is not set; "
            "set one: pulumi config set --secret hcloud:token <token>"
        )
    if endpoint:
        return Client(token=token, api_endpoint=endpoint, timeout=API_TIMEOUT)
    return Client(token=token, timeout=API_TIMEOUT)


def recover(pulumi: PulumiCli, *, confirmed: bool) -> int:
    """Release the lock, settle what was begun, run `pulumi up`. Returns an exit code."""
    if not confirmed and not _agreed():
        return 1
    for orphan in end_orphans():
        print(f"ended {orphan}: its pulumi is gone", flush=True)
    # Fails where no lock is left, which is as good.
    with contextlib.suppress(OxideError):
        pulumi.read("cancel", "--yes")
    deployment = _export(pulumi)
    client = hetzner_client(pulumi)
    found: dict[str, str] = {}
    for pending in pending_creates(deployment):
        id_ = existing_id(pending, client)
        again = "can be made again" if pending.type in MADE_AGAIN else "does not exist"
        fate = f"exists as {id_}: taken over" if id_ else f"{again}: forgotten"
        print(f"{pending.urn.rsplit('::', 1)[-1]} {fate}", flush=True)
        if id_:
            found[pending.urn] = id_
    if found:
        pulumi.write(json.dumps(taken_over(deployment, found)), "stack", "import")
    wait_for_api(json.loads(pulumi.read("stack", "export", "--show-secrets")))
    yes = ["--yes", "--skip-preview"] if confirmed else []
    code = pulumi.show("refresh", *yes, "--clear-pending-creates")
    code = code or pulumi.show("up", *yes)
    if code == 0:
        for line in strangers(_export(pulumi), client):
            print(f"warning: {line}", file=sys.stderr)
    return code


def taken_over(deployment: Mapping[str, Any], found: Mapping[str, str]) -> dict[str, Any]:
    """
    The deployment with these pending creations finished: they become resources, which a refresh completes.

    Args:
        found: Id by URN.
    """
    inner = dict(deployment["deployment"])
    adopted, pending = [], []
    for operation in inner.get("pending_operations") or []:
        resource = operation["resource"]
        if operation.get("type") == "creating" and resource["urn"] in found:
            inputs = {k: v for k, v in resource["inputs"].items() if k not in _NEVER_RETURNED}
            adopted.append(
                {**resource, "id": found[resource["urn"]], "inputs": inputs, "outputs": inputs}
            )
        else:
            pending.append(operation)
    # One that was being replaced is recorded until its successor is, and what depends on it stands behind it.
    replacements = {resource["urn"]: resource for resource in adopted}
    resources = [
        replacements.pop(resource["urn"], resource)
        if resource.get("pendingReplacement")
        else resource
        for resource in inner.get("resources") or []
    ]
    inner["resources"] = [*resources, *replacements.values()]
    inner["pending_operations"] = pending
    return {**deployment, "deployment": inner}


def wait_for_api(deployment: Mapping[str, Any]) -> None:
    """
    Wait for the control plane through which Pulumi reaches the cluster: without it a refresh fails, and it may be restarting.

    Args:
        deployment: The exported stack with its secrets in plain text.
    """
    resources = deployment.get("deployment", {}).get("resources") or []
    try:
        # The API has never served where there is no gate.
        (gate,) = (resource for resource in resources if resource["type"] == _API_GATE_TYPE)
        api = KubernetesApi(json.loads(gate["inputs"]["kubeconfig"]["plaintext"]))
    except (OxideError, OSError, KeyError, TypeError, ValueError):
        return
    end = time.monotonic() + RESTART_TIMEOUT
    said = False
    while (reason := api.not_ready_reason(api.servers[0])) and time.monotonic() < end:
        if not said:
            print(f"waiting for the Kubernetes API at {api.servers[0]}: {reason}", flush=True)
            said = True
        time.sleep(2)


def _agreed() -> bool:
    print(
        "This breaks the stack's lock. Make sure that nobody runs `pulumi` on this stack right now, then type yes: ",
        end="",
        flush=True,
    )
    return sys.stdin.readline().strip().lower() == "yes"


def _export(pulumi: PulumiCli) -> dict[str, Any]:
    deployment: dict[str, Any] = json.loads(pulumi.read("stack", "export"))
    return deployment


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point of the command."""
    parser = argparse.ArgumentParser(
        prog="python -m oxide_components.recover",
        description="Finish what a killed `pulumi up` left behind, without making anything twice.",
    )
    parser.add_argument("--stack", help="name of the stack (default: the selected one)")
    parser.add_argument("--yes", action="store_true", help="do not ask before refresh and up")
    options = parser.parse_args(arguments)
    try:
        return recover(PulumiCli(options.stack), confirmed=options.yes)
    except (OxideError, APIException, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
    except KeyboardInterrupt:
        return 130
    return 1


if __name__ == "__main__":
    sys.exit(main())
