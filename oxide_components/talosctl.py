"""Runs talosctl: the Talos client that Oxide's life cycle drives. Credentials live in a 0600 file as long as needed."""

import contextlib
import functools
import itertools
import os
import re
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from .errors import OxideError
from .packed import unpack

_running: set[subprocess.Popen[str]] = set()
_running_lock = threading.Lock()
_directories: set[tempfile.TemporaryDirectory[str]] = set()
"""Where credentials lie right now."""
_numbers = itertools.count(1)
_VERSION = re.compile(r"v\d+\.\d+\.\d+[\w.-]*")


class TalosError(OxideError):
    """A talosctl call failed. The text is talosctl's own last line; `output` is all it said."""

    def __init__(self, message: str, output: str = "") -> None:
        super().__init__(message)
        self.output = output


class Talosctl:
    """
    One set of Talos credentials, ready to use inside a `with` block.

    Args:
        talosconfig: Text of the talosconfig, packed or not.

    Raises:
        OxideError: No talosctl on PATH.
    """

    def __init__(self, talosconfig: str) -> None:
        executable = shutil.which("talosctl")
        if executable is None:
            raise OxideError(
                "talosctl is not on PATH; install the version of your talosVersion "
                "(https://www.talos.dev/latest/talos-guides/install/talosctl/) and run `pulumi up` again"
            )
        self._executable = executable
        self._talosconfig = unpack(talosconfig)
        self._directory: tempfile.TemporaryDirectory[str] | None = None

    def __enter__(self) -> Self:
        self._directory = tempfile.TemporaryDirectory(prefix="oxide-")
        _directories.add(self._directory)
        descriptor = os.open(self._config_path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(self._talosconfig)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._directory is not None:
            self._directory.cleanup()
            _directories.discard(self._directory)
            self._directory = None

    @property
    def _config_path(self) -> Path:
        if self._directory is None:
            raise RuntimeError("Talosctl is used outside its with block")
        return Path(self._directory.name) / "talosconfig"

    @contextlib.contextmanager
    def file(self, text: str) -> Iterator[Path]:
        """A file of this text that only its owner can read, as long as the block lasts."""
        path = self._config_path.with_name(f"input-{next(_numbers)}")
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            with os.fdopen(descriptor, "w") as stream:
                stream.write(text)
            yield path
        finally:
            path.unlink(missing_ok=True)

    def client_version(self) -> str:
        """
        Version of talosctl itself, such as v1.13.0.

        Raises:
            TalosError: It does not tell.
        """
        return _client_version(self._executable)

    def run(
        self,
        *args: str,
        node: str,
        endpoint: str,
        timeout: float = 30,
        progress: Callable[[str], None] | None = None,
    ) -> str:
        """
        Run one command against one node and return what it prints.

        Args:
            args: Command and flags, without node, endpoint and credentials.
            node: Private address of the node.
            endpoint: Public address of the control plane that takes the call.
            timeout: Seconds after which the call counts as failed.
            progress: Gets every line as it is printed.

        Raises:
            TalosError: The call failed or did not end in time.
        """
        command = [
            self._executable,
            f"--talosconfig={self._config_path}",
            f"--nodes={node}",
            f"--endpoints={endpoint}",
            *args,
        ]
        try:
            code, output, errors = _run(command, timeout, progress)
        except subprocess.TimeoutExpired:
            raise TalosError(
                f"talosctl {args[0]} on {node}: no answer within {timeout:.0f} s"
            ) from None
        if code != 0:
            reason = _last_line(errors) or _last_line(output) or f"exit code {code}"
            raise TalosError(f"talosctl {args[0]} on {node}: {reason}", output + errors)
        return output


def end_running() -> None:
    """End every talosctl that this process started, and remove its credentials; for a process about to end itself."""
    with _running_lock:
        for process in _running:
            process.kill()
    for directory in tuple(_directories):
        directory.cleanup()


@functools.cache
def _client_version(executable: str) -> str:
    code, output, _ = _run([executable, "version", "--client", "--short"], 30)
    found = _VERSION.search(output)
    if code != 0 or found is None:
        raise TalosError("talosctl does not tell its version")
    return found[0]


def _run(
    command: Sequence[str], timeout: float, progress: Callable[[str], None] | None = None
) -> tuple[int, str, str]:
    with subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
    ) as process:
        with _running_lock:
            _running.add(process)
        try:
            output, errors = (
                process.communicate(timeout=timeout)
                if progress is None
                else _followed(process, timeout, progress)
            )
        except subprocess.TimeoutExpired:
            process.kill()
            raise
        finally:
            with _running_lock:
                _running.discard(process)
        return process.returncode, output, errors


def _followed(
    process: subprocess.Popen[str], timeout: float, progress: Callable[[str], None]
) -> tuple[str, str]:
    """Both outputs of a process whose lines are shown as they come."""
    said: dict[str, list[str]] = {"stdout": [], "stderr": []}

    def follow(name: str) -> None:
        for line in getattr(process, name):
            said[name].append(line)
            if line.strip():
                progress(line.strip())

    threads = [threading.Thread(target=follow, args=(name,), daemon=True) for name in said]
    for thread in threads:
        thread.start()
    process.wait(timeout=timeout)
    for thread in threads:
        thread.join(timeout=5)
    return "".join(said["stdout"]), "".join(said["stderr"])


def _last_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1].removeprefix("error: ") if lines else ""
