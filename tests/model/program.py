"""
The real program under mocks, run once per configuration.

What only a run can know (a server's id, an address) is a token in its inputs; the model's engine puts the value in its
place when the resource's turn comes, as the real one does with outputs.
"""

import functools
import json
import re
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import pulumi
from pulumi.output import UNKNOWN
from pulumi.runtime import mocks

from oxide_components.cluster import create_cluster
from oxide_components.config import ClusterConfig
from oxide_components.packed import pack, unpack
from tests.components import recording

from .machine_config_text import generated

SERVER = "hcloud:index/server:Server"
PRIMARY_IP = "hcloud:index/primaryIp:PrimaryIp"
DYNAMIC = "pulumi-python:dynamic/oxide:"
ROSTER = f"{DYNAMIC}Roster"

_TOKEN = re.compile(r"<<([\w-]+\.[\w.]+)>>")


@dataclass(frozen=True, kw_only=True)
class Goal:
    """One resource that the program wants."""

    urn: str
    type: str
    name: str
    custom: bool
    protect: bool
    ignore_changes: tuple[str, ...]
    delete_before_replace: bool
    deleted_with: str
    dependencies: tuple[str, ...]
    inputs: Mapping[str, Any]


def wanted(settings: Mapping[str, Any]) -> tuple[Goal, ...]:
    """
    Everything that the program registers for these stack values, dependencies first.

    Raises:
        ConfigError: The values are refused.
    """
    return _wanted(json.dumps(settings, sort_keys=True))


def forget() -> None:
    """Run the program anew for every configuration."""
    _wanted.cache_clear()


def filled(value: Any, known: Callable[[str], Any]) -> Any:
    """`value` with its tokens replaced by what `known` says about `<resource>.<output>`; None leaves a token."""
    if isinstance(value, str):
        if (text := unpack(value)) != value:
            return pack(filled(text, known))
        if (whole := _TOKEN.fullmatch(value)) is not None:
            said = known(whole.group(1))
            return value if said is None else said

        def replacement(found: re.Match[str]) -> str:
            said = known(found.group(1))
            return found.group() if said is None else str(said)

        return _TOKEN.sub(replacement, value) if "<<" in value else value
    if isinstance(value, dict):
        return {key: filled(entry, known) for key, entry in value.items()}
    if isinstance(value, list):
        return [filled(entry, known) for entry in value]
    return value


def is_known(value: Any) -> bool:
    """Whether no token is left in a value."""
    if isinstance(value, str):
        return _TOKEN.search(unpack(value)) is None
    if isinstance(value, dict):
        return all(map(is_known, value.values()))
    if isinstance(value, list):
        return all(map(is_known, value))
    return True


def with_unknowns(value: Any) -> Any:
    """`value` as a preview hands it to a provider: what holds a token is unknown."""
    if isinstance(value, str) and not is_known(value):
        return UNKNOWN
    if isinstance(value, dict):
        return {key: with_unknowns(entry) for key, entry in value.items()}
    if isinstance(value, list):
        return [with_unknowns(entry) for entry in value]
    return value


@functools.lru_cache(maxsize=4096)
def _wanted(settings: str) -> tuple[Goal, ...]:
    recording._loop()
    values = {
        key: value if isinstance(value, str) else json.dumps(value)
        for key, value in json.loads(settings).items()
    }
    pulumi.runtime.set_all_config({f"oxide:{key}": value for key, value in values.items()})
    try:
        config = ClusterConfig.load(pulumi.Config("oxide"))
        monitor = _Monitor()
        mocks.set_mocks(
            monitor.mocks, project="oxide", stack="test", preview=False, monitor=monitor
        )

        @mocks.test
        def run() -> None:
            create_cluster(config)

        run()
    finally:
        # Other tests of this process have settings of their own.
        pulumi.runtime.set_all_config({})
    return _in_order(monitor.goals())


class _Monitor(recording.Recorder):
    """Keeps the whole URNs of dependencies, which the recorder shortens."""

    def __init__(self) -> None:
        mocks.MockMonitor.__init__(self, _Tokens())
        self.registrations = []
        self.invokes = []
        self._edges: dict[str, tuple[str, ...]] = {}

    def RegisterResource(self, request: Any) -> Any:  # noqa: N802  the wire's name
        response = super().RegisterResource(request)
        # A deletion waits for a child's; a creation waits for a parent's.
        edges = {*request.dependencies, request.parent, request.provider.rpartition("::")[0]}
        self._edges[response.urn] = tuple(sorted(edge for edge in edges if edge))
        return response

    def goals(self) -> list[Goal]:
        urns = {found.urn for found in self.registrations}
        return [
            Goal(
                urn=found.urn,
                type=found.type,
                name=found.name,
                custom=found.custom,
                protect=found.protect,
                ignore_changes=tuple(found.ignore_changes),
                delete_before_replace=found.delete_before_replace,
                deleted_with=found.deleted_with,
                dependencies=tuple(u for u in self._edges[found.urn] if u in urns),
                inputs=found.inputs,
            )
            for found in sorted(self.registrations, key=lambda found: found.urn)
        ]


class _Tokens(recording._ProviderMocks):
    def __init__(self) -> None:
        pass

    def new_resource(self, args: mocks.MockResourceArgs) -> tuple[str, dict[str, Any]]:
        outputs = recording._plain(dict(args.inputs))
        if args.typ == SERVER:
            networks = [
                {**network, "ip": network.get("ip") or f"<<{args.name}.private>>"}
                for network in outputs.get("networks") or []
            ]
            outputs |= {
                "networks": networks,
                "ipv4Address": f"<<{args.name}.public>>",
                "serverType": f"<<{args.name}.serverType>>",
            }
            return f"<<{args.name}.id>>", outputs
        if args.typ == PRIMARY_IP:
            outputs["ipAddress"] = f"<<{args.name}.address>>"
        elif args.typ == ROSTER:
            outputs["superseded"] = f"<<{args.name}.superseded>>"
        elif args.typ == "talos:machine/secrets:Secrets":
            outputs |= {
                "machineSecrets": recording.MACHINE_SECRETS,
                "clientConfiguration": recording.CLIENT_CONFIGURATION,
            }
        elif args.typ == "talos:cluster/kubeconfig:Kubeconfig":
            outputs["kubeconfigRaw"] = recording.KUBECONFIG
        elif args.typ == f"{DYNAMIC}ClusterIdentity":
            outputs |= {"contract": "v1.13", "admin_cidrs": []}
        elif args.typ == "kubernetes:helm.sh/v3:Release":
            outputs["status"] = {"status": "deployed", "namespace": "kube-system"}
        return str(zlib.crc32(f"{args.typ} {args.name}".encode())), outputs

    def call(self, args: mocks.MockCallArgs) -> dict[str, Any]:
        given = recording._plain(args.args)
        if args.token == "talos:machine/getConfiguration:getConfiguration":
            text = generated(
                given["machineType"], given["kubernetesVersion"], given.get("configPatches") or []
            )
            return {**given, "machineConfiguration": text}
        if args.token == "talos:client/getConfiguration:getConfiguration":
            endpoints = ",".join(given.get("endpoints") or [])
            return {**given, "talosConfig": f"endpoints: {endpoints}"}
        if args.token == "hcloud:index/getImages:getImages":
            return {**given, "id": "x", "images": [{"id": 4711}]}
        raise AssertionError(f"unexpected call of {args.token}")


def _in_order(goals: list[Goal]) -> tuple[Goal, ...]:
    """Dependencies first, by URN where they leave a choice: threads register in an order of their own."""
    waiting = {goal.urn: goal for goal in goals}
    ordered: list[Goal] = []
    while waiting:
        ready = [g for g in waiting.values() if not any(d in waiting for d in g.dependencies)]
        assert ready, "dependencies in a circle"
        for goal in ready:
            ordered.append(waiting.pop(goal.urn))
    return tuple(ordered)
