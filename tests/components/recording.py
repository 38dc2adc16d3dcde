"""
Records what a Pulumi program registers, options included, while mocks fill in what providers would return.

Mocks prove wiring only: names, parents, options, inputs. They say nothing about providers' checks, diffs or
replacements; tests/lab does.
"""

import asyncio
import atexit
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pulumi
from pulumi.runtime import mocks, rpc, test

CERTIFICATE = {"cert": "Y2VydA==", "key": "c2VjcmV0LWtleQ=="}

MACHINE_SECRETS = {
    "cluster": {"id": "aWQ=", "secret": "planted-cluster-secret"},
    "secrets": {
        "bootstrapToken": "planted-bootstrap-token",
        "secretboxEncryptionSecret": "planted-secretbox",
    },
    "trustdinfo": {"token": "planted-trustd-token"},
    "certs": {
        "etcd": CERTIFICATE,
        "k8s": CERTIFICATE,
        "k8sAggregator": CERTIFICATE,
        "k8sServiceaccount": {"key": "planted-service-account-key"},
        "os": CERTIFICATE,
    },
}

CLIENT_CONFIGURATION = {
    "caCertificate": "Y2E=",
    "clientCertificate": "Y2VydA==",
    "clientKey": "planted-client-key",
}

KUBECONFIG = """
apiVersion: v1
kind: Config
clusters: [{name: c, cluster: {server: "https://api.c.internal:6443", certificate-authority-data: Y2E=}}]
users: [{name: u, user: {client-certificate-data: Y2VydA==, client-key-data: cGxhbnRlZC1rZXk=}}]
contexts: [{name: x, context: {cluster: c, user: u}}]
current-context: x
"""


@dataclass
class Registration:
    """One RegisterResource request, plain."""

    type: str
    name: str
    parent: str
    custom: bool
    protect: bool
    ignore_changes: list[str]
    delete_before_replace: bool
    deleted_with: str
    dependencies: list[str]
    inputs: dict[str, Any]
    secret_inputs: set[str]
    urn: str


@dataclass
class Recorder(mocks.MockMonitor):
    """Monitor that keeps every registration and invoke."""

    registrations: list[Registration] = field(default_factory=list)
    invokes: list[tuple[str, dict[str, Any]]] = field(default_factory=list)

    def __init__(self) -> None:
        super().__init__(_ProviderMocks(self))
        self.registrations = []
        self.invokes = []

    def RegisterResource(self, request: Any) -> Any:  # noqa: N802  the wire's name
        response = super().RegisterResource(request)
        if request.type != "pulumi:pulumi:Stack":
            raw = rpc.deserialize_properties(request.object)
            self.registrations.append(
                Registration(
                    type=request.type,
                    name=request.name,
                    parent=request.parent.rsplit("::", 1)[-1] if request.parent else "",
                    custom=request.custom,
                    protect=request.protect,
                    ignore_changes=list(request.ignoreChanges),
                    delete_before_replace=request.deleteBeforeReplace,
                    deleted_with=request.deletedWith.rsplit("::", 1)[-1],
                    dependencies=sorted(d.rsplit("::", 1)[-1] for d in request.dependencies),
                    inputs={key: _plain(value) for key, value in raw.items()},
                    secret_inputs={key for key, value in raw.items() if _holds_secret(value)},
                    urn=response.urn,
                )
            )
        return response

    def of_type(self, type_token: str) -> list[Registration]:
        """Registrations of one type, in order."""
        return [found for found in self.registrations if found.type == type_token]

    def named(self, name: str, type_token: str | None = None) -> Registration:
        """The one registration of that name."""
        (found,) = (
            r for r in self.registrations if r.name == name and type_token in (None, r.type)
        )
        return found

    def children_of(self, parent: str) -> list[tuple[str, str]]:
        """Type and name of every resource whose parent has that name, sorted."""
        return sorted((r.type, r.name) for r in self.registrations if r.parent == parent)


class _ProviderMocks(mocks.Mocks):
    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder

    def new_resource(self, args: mocks.MockResourceArgs) -> tuple[str, dict[str, Any]]:
        outputs = dict(args.inputs)
        # The same resource has the same id in every run, so that runs can be compared.
        number = zlib.crc32(f"{args.typ} {args.name}".encode())
        if args.typ == "hcloud:index/server:Server":
            networks = [
                {**_plain(network), "ip": _plain(network).get("ip") or f"10.0.1.{number % 250}"}
                for network in _plain(outputs.get("networks") or [])
            ]
            outputs |= {"networks": networks, "ipv4Address": f"192.0.2.{number % 250}"}
            outputs["ipv6Address"] = f"2001:db8:{number % 250}::1"
        elif args.typ == "hcloud:index/primaryIp:PrimaryIp":
            outputs["ipAddress"] = f"198.51.100.{number % 250}"
        elif args.typ == "hcloud:index/loadBalancer:LoadBalancer":
            outputs |= {"ipv4": f"203.0.113.{number % 250}", "ipv6": "2001:db8::1"}
        elif args.typ == "talos:machine/secrets:Secrets":
            outputs |= {
                "machineSecrets": MACHINE_SECRETS,
                "clientConfiguration": CLIENT_CONFIGURATION,
            }
        elif args.typ == "talos:cluster/kubeconfig:Kubeconfig":
            outputs["kubeconfigRaw"] = KUBECONFIG
        elif args.typ == "pulumi-python:dynamic/oxide:ClusterIdentity":
            outputs |= {"contract": "v1.13", "admin_cidrs": ["203.0.113.7/32"]}
        elif args.typ == "pulumi:pulumi:StackReference":
            outputs |= {
                "outputs": {"machineSecrets": snake(MACHINE_SECRETS)},
                "secretOutputNames": ["machineSecrets"],
            }
        elif args.typ == "kubernetes:helm.sh/v3:Release":
            outputs["status"] = {"status": "deployed", "namespace": "kube-system"}
        return str(number), outputs

    def call(self, args: mocks.MockCallArgs) -> dict[str, Any]:
        self._recorder.invokes.append((args.token, args.args))
        if args.token == "talos:machine/getConfiguration:getConfiguration":
            return {**args.args, "machineConfiguration": "machine: planted-config"}
        if args.token == "talos:client/getConfiguration:getConfiguration":
            return {**args.args, "talosConfig": "context: planted-talosconfig"}
        if args.token == "hcloud:index/getImages:getImages":
            return {**args.args, "id": "x", "images": [{"id": 4711}]}
        if args.token in _LOOK_UPS:
            return {**args.args, "id": _LOOK_UPS[args.token]}
        raise AssertionError(f"unexpected call of {args.token}")


_LOOK_UPS = {
    "hcloud:index/getFirewall:getFirewall": 79,
    "hcloud:index/getImage:getImage": 4711,
    "hcloud:index/getNetwork:getNetwork": 12,
}


def snake(value: Any) -> Any:
    """What a provider returns, with the keys that the SDK gives it."""
    if isinstance(value, dict):
        return {
            "".join(f"_{c.lower()}" if c.isupper() else c for c in key): snake(entry)
            for key, entry in value.items()
        }
    return value


def prepare() -> Recorder:
    """Put a fresh recorder in place of the engine."""
    _loop()
    recorder = Recorder()
    mocks.set_mocks(recorder.mocks, project="oxide", stack="test", preview=False, monitor=recorder)
    return recorder


def record(build: Callable[[], None]) -> Recorder:
    """Run `build` as a Pulumi program under mocks and return what it registered."""
    recorder = prepare()

    @test
    def run() -> None:
        build()

    run()
    return recorder


def resolve(output: pulumi.Output[Any]) -> tuple[Any, bool]:
    """Value of an output of the finished program, and whether it is secret."""

    async def both() -> tuple[Any, bool]:
        return await output.future(), await output.is_secret()

    return _loop().run_until_complete(both())


_LOOP: list[asyncio.AbstractEventLoop] = []


def _loop() -> asyncio.AbstractEventLoop:
    # One for all tests: Pulumi's own are never closed.
    if not _LOOP:
        _LOOP.append(asyncio.new_event_loop())
        atexit.register(_LOOP[0].close)
    asyncio.set_event_loop(_LOOP[0])
    return _LOOP[0]


def _plain(value: Any) -> Any:
    if rpc.is_rpc_secret(value):
        return _plain(rpc.unwrap_rpc_secret(value))
    if isinstance(value, dict):
        return {key: _plain(entry) for key, entry in value.items()}
    if isinstance(value, list):
        return [_plain(entry) for entry in value]
    return value


def _holds_secret(value: Any) -> bool:
    if rpc.is_rpc_secret(value):
        return True
    if isinstance(value, dict):
        return any(_holds_secret(entry) for entry in value.values())
    if isinstance(value, list):
        return any(_holds_secret(entry) for entry in value)
    return False
