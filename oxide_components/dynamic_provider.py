"""What Oxide's own resources share: one-line errors, progress in the engine's display, an end when the engine ends."""

import contextlib
import fcntl
import hashlib
import os
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
from pulumi.dynamic import CheckResult, DiffResult, ReadResult, ResourceProvider, UpdateResult
from pulumi.runtime.proto import engine_pb2, engine_pb2_grpc

from . import talosctl
from .errors import OxideError

_watchdog_started = threading.Event()
_locks: dict[Path, tuple[int, int]] = {}
"""Descriptor of each lock that this process holds, and how often."""
_locks_guard = threading.Lock()
_stack_settings: list[Any] = []


class LifecycleProvider(ResourceProvider):
    """
    Base of Oxide's resource providers.

    The classes are pickled by reference into the state: renaming a module or a class breaks every stack
    that holds one. `delete` does nothing and `read` returns what is recorded, so that destroy and refresh
    work with a dead cluster.
    """

    serialize_as_secret_always = False

    def configure(self, req: Any) -> None:
        """Called once in the provider process, before anything else."""
        _stack_settings[:] = [] if req is None else [req.config]
        # A traceback says nothing to an operator, and its last line stands alone without it.
        sys.tracebacklimit = 0
        _name_errors_shortly(OxideError)
        _start_watchdog()

    def check(self, _olds: dict[str, Any], news: dict[str, Any]) -> CheckResult:
        """Accept the inputs as they are."""
        return CheckResult(news, [])

    def diff(self, _id: str, _olds: dict[str, Any], _news: dict[str, Any]) -> DiffResult:
        """No change ever."""
        return DiffResult(changes=False)

    def update(self, _id: str, _olds: dict[str, Any], news: dict[str, Any]) -> UpdateResult:
        """Record the new inputs."""
        return UpdateResult(outs=dict(news))

    def delete(self, _id: str, _props: dict[str, Any]) -> None:
        """Leave the cluster alone: a whole destroy must work when nothing answers."""

    def read(self, id_: str, props: dict[str, Any]) -> ReadResult:
        """Return what is recorded."""
        return ReadResult(id_, dict(props))


def stack_setting(key: str) -> str | None:
    """A value of the stack's configuration, such as hcloud:token; None where it is not set."""
    value = _stack_settings[0].get(key) if _stack_settings else None
    return None if value is None else str(value)


def _name_errors_shortly(kind: type[Exception]) -> None:
    """Let `TalosError: ...` be the whole line: Python leaves out the module of its own errors only."""
    kind.__module__ = "builtins"
    for special in kind.__subclasses__():
        _name_errors_shortly(special)


def log_progress(urn: str | None, message: str) -> None:
    """Show a passing message beside the resource while it works. Never fails."""
    _log(urn, message, ephemeral=True, severity=engine_pb2.INFO)


def log_info(urn: str | None, message: str) -> None:
    """Leave a message under the resource, in a preview as well. Never fails."""
    _log(urn, message, ephemeral=False, severity=engine_pb2.INFO)


def log_warning(urn: str | None, message: str) -> None:
    """Leave a warning under the resource. Never fails."""
    _log(urn, message, ephemeral=False, severity=engine_pb2.WARNING)


def _log(urn: str | None, message: str, *, ephemeral: bool, severity: Any) -> None:
    address = _engine_address()
    if address is None:
        return
    with contextlib.suppress(grpc.RpcError), grpc.insecure_channel(address) as channel:
        engine_pb2_grpc.EngineStub(channel).Log(
            engine_pb2.LogRequest(
                severity=severity, message=message, urn=urn or "", ephemeral=ephemeral
            ),
            timeout=5,
        )


def wait_until(
    what: str,
    urn: str | None,
    timeout: float,
    reason_to_wait: Any,
    interval: float = 2,
    hint: Callable[[], str] = lambda: "",
) -> None:
    """
    Call `reason_to_wait` until it returns None.

    Args:
        what: What is waited for, for the messages.
        urn: Resource that shows the progress.
        timeout: Seconds after which it fails with the last reason.
        reason_to_wait: Returns why it is not there yet, or None.
        interval: Seconds between two calls.
        hint: Returns what else to say when time is up.

    Raises:
        OxideError: Time is up; the text ends with the last reason and the hint.
    """
    end = time.monotonic() + timeout
    shown = None
    while (reason := reason_to_wait()) is not None:
        if time.monotonic() >= end:
            raise OxideError(f"{what}: not within {timeout:.0f} s: {reason}{hint()}")
        if reason != shown:
            log_progress(urn, f"waiting for {what}: {reason}")
            shown = reason
        time.sleep(interval)


@contextlib.contextmanager
def cluster_lock(key: str) -> Iterator[None]:
    """
    Keep two runs on this machine from working on one cluster at once; one run may hold it several times.

    Raises:
        OxideError: Another process holds it.
    """
    digest = hashlib.sha256(key.encode()).hexdigest()[:16]
    path = Path(tempfile.gettempdir()) / f"oxide-{os.getuid()}-{digest}.lock"
    with _locks_guard:
        descriptor, holders = _locks.get(path) or (_locked(path), 0)
        _locks[path] = descriptor, holders + 1
    try:
        yield
    finally:
        with _locks_guard:
            descriptor, holders = _locks.pop(path)
            if holders > 1:
                _locks[path] = descriptor, holders - 1
            else:
                os.close(descriptor)


def _locked(path: Path) -> int:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise OxideError(
            "another run on this machine is working on this cluster; wait for it to end"
        ) from None
    return descriptor


def _engine_address() -> str | None:
    arguments = sys.argv[1:]
    return arguments[0] if arguments and ":" in arguments[0] else None


def _start_watchdog() -> None:
    address = _engine_address()
    if address is None or _watchdog_started.is_set():
        return
    _watchdog_started.set()
    threading.Thread(target=_watch_engine, args=(address,), daemon=True).start()


def _watch_engine(address: str) -> None:
    host, _, port = address.rpartition(":")
    while True:
        time.sleep(1)
        try:
            socket.create_connection((host, int(port)), timeout=5).close()
        except ConnectionRefusedError:
            # A killed engine tells nobody. Whatever this process still did would race the next run.
            talosctl.end_running()
            os._exit(1)
        except OSError:
            continue
