"""talosctl on the model's world."""

import contextlib
import json
from collections.abc import Callable, Iterator, Sequence
from typing import Self

import yaml

from oxide_components.talosctl import TalosError
from tests.components.fake_cluster import _table
from tests.components.recording import KUBECONFIG

from .machine_config_text import kubelet_version, needs_reboot, with_kubernetes
from .things import Server
from .world import MARK, STATIC_PODS, World


class FakeTalosctl:
    """talosctl with the credentials of the one cluster."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._files: dict[str, str] = {}

    @contextlib.contextmanager
    def file(self, text: str) -> Iterator[str]:
        """A file for a command to read."""
        name = f"file-{len(self._files)}"
        self._files[name] = text
        yield name

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def client_version(self) -> str:
        """Version of the command itself."""
        return "v1.13.9"

    def run(
        self,
        *args: str,
        node: str,
        endpoint: str,
        timeout: float = 30,
        progress: Callable[[str], None] | None = None,
    ) -> str:
        """One command on one node through one control plane."""
        if "," in node:
            return "".join(
                self.run(*args, node=one, endpoint=endpoint, timeout=timeout)
                for one in node.split(",")
            )
        world = self._world
        world.call()
        words = [arg for arg in args if not arg.startswith("-") or arg == "-"]
        flags = {
            key: value
            for key, _, value in (arg.partition("=") for arg in args if arg.startswith("--"))
        }
        if world.talos_refusals > 0:
            world.talos_refusals -= 1
            raise _failed(args, node, "rpc error: code = Unavailable desc = connection refused")
        via = next((s for s in world.servers.values() if s.public == endpoint), None)
        server = world.server_at(node)
        if via is None or server is None or not (world.is_up(via) and world.is_up(server)):
            world.sleep(min(timeout, 3))
            raise _failed(args, node, "rpc error: code = Unavailable desc = no route to host")
        if via.config is None or not via.is_control_plane:
            raise _failed(args, node, "rpc error: code = Unimplemented desc = no apid proxy")
        handler = getattr(self, f"_{words[0].replace('-', '_')}", None)
        if handler is None:
            raise AssertionError(f"the model knows no talosctl {words[0]}")
        output: str = handler(server, words[1:], flags)
        world.call()
        return output

    def _version(self, server: Server, _words: Sequence[str], _flags: dict[str, str]) -> str:
        return (
            f"Client:\n\tTag: v1.13.9\nServer:\n\tNODE: {server.private}\n\tTag: {server.talos}\n"
        )

    def _upgrade(self, server: Server, _words: Sequence[str], flags: dict[str, str]) -> str:
        assert flags["--drain"] == "false"
        self._world.stop(server, "upgrade", for_good=False)
        server.talos = flags["--image"].rpartition(":")[2]
        self._world.boot(server)
        return ""

    def _upgrade_k8s(self, _server: Server, _words: Sequence[str], flags: dict[str, str]) -> str:
        world = self._world
        up = {server.name for server in world.servers.values() if world.is_up(server)}
        if silent := sorted(set(world.nodes) - up):
            # It asks every Node object before it moves anything.
            raise _failed(["upgrade-k8s"], silent[0], "no route to host")
        for server in world.servers.values():
            if server.name not in up or server.config is None:
                continue
            # What runs the version already is skipped.
            if kubelet_version(server.config) != f"v{flags['--to']}":
                world.touch(server.name, "Kubernetes upgraded")
                server.config = with_kubernetes(server.config, flags["--to"])
                if server.name in world.nodes:
                    world.nodes[server.name].kubelet = kubelet_version(server.config)
        return ""

    def _kubeconfig(self, server: Server, _words: Sequence[str], _flags: dict[str, str]) -> str:
        if not server.is_control_plane:
            raise _failed(["kubeconfig"], server.private, "not a control plane")
        return KUBECONFIG

    def _list(self, server: Server, words: Sequence[str], _flags: dict[str, str]) -> str:
        assert words == ["/var/lib/etcd"], words
        return "NODE   NAME\n.\nmember\n" if server.etcd_data else "NODE   NAME\n.\n"

    def _bootstrap(self, server: Server, _words: Sequence[str], _flags: dict[str, str]) -> str:
        if server.etcd_data:
            raise _failed(["bootstrap"], server.private, "rpc error: code = AlreadyExists")
        self._world.found_etcd(server)
        return ""

    def _get(self, server: Server, words: Sequence[str], _flags: dict[str, str]) -> str:
        if words == ["machineconfig", "v1alpha1", "json"]:
            return json.dumps({"node": server.private, "spec": server.config}) + "\n"
        if words[0] == "machineconfig":
            return yaml.safe_dump({"metadata": {"id": "v1alpha1"}, "spec": server.config})
        if words[0] == "extensions":
            return yaml.safe_dump({"spec": {"metadata": {"name": "schematic", "version": "x"}}})
        assert words[0] == "staticpods", words
        mark = {"metadata": {"annotations": {MARK: str(server.config_version)}}}
        return yaml.safe_dump_all(
            {"metadata": {"id": component}, "spec": mark} for component in STATIC_PODS
        )

    def _read(self, server: Server, words: Sequence[str], _flags: dict[str, str]) -> str:
        assert words == ["/proc/sys/kernel/random/boot_id"], words
        return f"{server.boot_id}\n"

    def _apply_config(self, server: Server, _words: Sequence[str], flags: dict[str, str]) -> str:
        config, mode = self._files[flags["--file"]], flags["--mode"]
        if mode == "staged":
            self._world.touch(server.name, "config staged")
            server.staged = config
            return ""
        assert mode == "no-reboot", mode
        if self._world.apply_refusals > 0:
            self._world.apply_refusals -= 1
            raise _failed(["apply-config"], server.private, "rpc error: code = Internal")
        if needs_reboot(server.config or "", config):
            reason = "rpc error: code = InvalidArgument desc = this config change can't be applied in immediate mode"
            raise _failed(["apply-config"], server.private, reason)
        self._world.apply(server, config)
        return ""

    def _reboot(self, server: Server, _words: Sequence[str], _flags: dict[str, str]) -> str:
        self._world.stop(server, "reboot", for_good=False)
        self._world.boot(server)
        return ""

    def _etcd(self, server: Server, words: Sequence[str], _flags: dict[str, str]) -> str:
        world = self._world
        own = world.member_on(server)
        if words[0] == "snapshot":
            return ""
        if own is None or not world.started(own):
            raise _failed(["etcd"], server.private, "etcd is not running")
        if words[0] == "status":
            leader = next((m.id for m in world.voters() if world.started(m)), "0")
            learner = str(world.now < own.votes_at).lower()
            error = "" if world.has_quorum() else "etcdserver: no leader"
            return _table(
                [
                    ["NODE", "MEMBER", "LEADER", "LEARNER", "ERRORS"],
                    [server.private, own.id, leader if not error else "0", learner, error],
                ]
            )
        if not world.has_quorum():
            raise _failed(["etcd"], server.private, "etcdserver: request timed out")
        if words[0] == "members":
            heads = ["NODE", "ID", "HOSTNAME", "PEER URLS", "CLIENT URLS", "LEARNER"]
            rows = [
                [
                    server.private,
                    m.id,
                    m.name,
                    f"https://{m.address}:2380",
                    f"https://{m.address}:2379",
                    str(world.now < m.votes_at).lower(),
                ]
                for m in world.members.values()
            ]
            return _table([heads, *rows])
        if words[0] == "leave":
            member = own
        else:
            assert words[0] == "remove-member", words
            found = world.members.get(words[1])
            if found is None:
                raise _failed(["etcd"], server.private, "etcdserver: member not found")
            member = found
        if (refusal := world.removal_refusal(member)) is not None:
            raise _failed(["etcd"], server.private, refusal)
        world.remove_member(member)
        if words[0] == "leave":
            server.etcd_left, server.etcd_data = True, False
        return ""

    def _reset(self, server: Server, _words: Sequence[str], flags: dict[str, str]) -> str:
        assert flags["--reboot"] == "false"
        self._world.stop(server, "reset", for_good=True)
        server.config = server.staged = None
        server.etcd_data = False
        return ""


def _failed(args: Sequence[str], node: str, reason: str) -> TalosError:
    return TalosError(f"talosctl {args[0]} on {node}: {reason}", f"error: {reason}\n")
