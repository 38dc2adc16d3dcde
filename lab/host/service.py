"""The engine's LanguageRuntime protocol for Python."""

# ruff: noqa: N802, ARG002 the protocol gives the methods their names and arguments

from __future__ import annotations

import json
import queue
import threading
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from subprocess import PIPE
from typing import Any

import grpc
from google.protobuf import empty_pb2, json_format
from pulumi.runtime._grpc_settings import _GRPC_CHANNEL_OPTIONS
from pulumi.runtime.proto import engine_pb2, engine_pb2_grpc, language_pb2, language_pb2_grpc
from pulumi.runtime.proto.plugin_pb2 import PluginInfo

from lab.host.children import Children
from lab.host.environment import EnvironmentProblem, PythonEnvironment
from lab.host.packages import required_packages

ERROR_SHOWN = 32
"""Exit code of a program that has told the user what is wrong."""

_PROGRAM = Path(__file__).with_name("program.py")


class LanguageHost(language_pb2_grpc.LanguageRuntimeServicer):
    """Runs Python programs and plugins for one engine.

    Args:
        engine: the engine's address, empty until the handshake names it.
        attached: called with the engine's address once it is known.
        version: what the host reports as its version.
    """

    def __init__(self, engine: str, attached: Callable[[str], None], version: str) -> None:
        self._engine = engine
        self._attached = attached
        self._version = version
        self.children = Children()
        if engine:
            attached(engine)

    def Handshake(self, request: Any, context: grpc.ServicerContext) -> Any:
        self._engine = request.engine_address
        self._attached(self._engine)
        return language_pb2.LanguageHandshakeResponse()

    def GetPluginInfo(self, request: Any, context: grpc.ServicerContext) -> Any:
        return PluginInfo(version=self._version)

    def About(self, request: Any, context: grpc.ServicerContext) -> Any:
        environment = _environment(request.info, context)
        listed = {entry["name"].lower(): entry for entry in _packages(environment, context)}
        return language_pb2.AboutResponse(
            executable=environment.python,
            version=_python_version(environment, self.children),
            metadata={
                "toolchain": "Pip",
                "toolchainVersion": listed.get("pip", {}).get("version", ""),
                "typechecker": environment.typechecker or "None",
            },
        )

    def GetRequiredPackages(self, request: Any, context: grpc.ServicerContext) -> Any:
        environment = _environment(request.info, context)
        try:
            environment.ensure(Path(request.info.program_directory), self._tell)
        except EnvironmentProblem as problem:
            _abort(context, problem)
        packages = required_packages(_packages(environment, context))
        return language_pb2.GetRequiredPackagesResponse(packages=packages)

    def GetProgramDependencies(self, request: Any, context: grpc.ServicerContext) -> Any:
        environment = _environment(request.info, context)
        return language_pb2.GetProgramDependenciesResponse(
            dependencies=[
                language_pb2.DependencyInfo(name=entry["name"], version=entry["version"])
                for entry in _packages(environment, context)
                if request.transitiveDependencies or not entry["required"]
            ]
        )

    def InstallDependencies(self, request: Any, context: grpc.ServicerContext) -> Iterator[Any]:
        environment = _environment(request.info, context, plugin=request.is_plugin)
        yield _installed("Installing dependencies...\n\n")
        try:
            directory = Path(request.info.program_directory)
            for line in environment.install(directory, package=request.is_plugin):
                yield _installed(line)
        except EnvironmentProblem as problem:
            _abort(context, problem)
        yield _installed("Finished installing dependencies\n\n")

    def Run(self, request: Any, context: grpc.ServicerContext) -> Any:
        environment = _environment(request.info, context)
        try:
            environment.validate()
        except EnvironmentProblem as problem:
            _abort(context, problem)
        if environment.typechecker and (failure := self._typecheck(environment, request.info)):
            return language_pb2.RunResponse(error=failure)
        env = environment.activated(
            {
                "PULUMI_CONFIG": json.dumps(dict(request.config)),
                "PULUMI_CONFIG_SECRET_KEYS": json.dumps(list(request.configSecretKeys)),
            }
        )
        command = [environment.python, "-u", str(_PROGRAM), *self._program_arguments(request)]
        try:
            child = self.children.start(command, env=env)
        except OSError as error:
            return language_pb2.RunResponse(error=f"{environment.python} cannot be run: {error}")
        context.add_callback(lambda: self.children.interrupt(child))
        code = self.children.wait(child)
        if code == ERROR_SHOWN:
            return language_pb2.RunResponse(bail=True)
        if code != 0:
            return language_pb2.RunResponse(error=f"program exited with non-zero exit code: {code}")
        return language_pb2.RunResponse()

    def RunPlugin(self, request: Any, context: grpc.ServicerContext) -> Iterator[Any]:
        environment = _environment(request.info, context, plugin=True)
        command = [environment.python, "-u"]
        if not (environment.root / "__main__.py").exists():
            command += ["-m", "pulumi.run.plugin", _project_name(environment.root)]
        else:
            command += [request.info.program_directory]
        env = environment.activated(dict(item.partition("=")[::2] for item in request.env))
        try:
            environment.validate()
            child = self.children.start(
                [*command, *request.args],
                env=env,
                cwd=request.pwd or None,
                stdout=PIPE,
                stderr=PIPE,
            )
        except (EnvironmentProblem, OSError) as problem:
            _abort(context, problem)
        context.add_callback(lambda: self.children.interrupt(child))
        yield from _merge(stdout=child.stdout, stderr=child.stderr)
        yield language_pb2.RunPluginResponse(exitcode=self.children.wait(child))

    def Cancel(self, request: Any, context: grpc.ServicerContext) -> Any:
        self.children.interrupt_all()
        return empty_pb2.Empty()

    def _program_arguments(self, request: Any) -> list[str]:
        values = {
            "monitor": request.monitor_address,
            "engine": self._engine,
            "project": request.project,
            "root_directory": request.info.root_directory,
            "stack": request.stack,
            "pwd": request.pwd,
            "parallel": str(request.parallel),
            "organization": request.organization,
        }
        arguments = [f"--{name}={value}" for name, value in values.items() if value]
        if request.dryRun:
            arguments.append("--dry_run")
        return [*arguments, request.info.entry_point, *request.args]

    def _typecheck(self, environment: PythonEnvironment, info: Any) -> str:
        checker = str(environment.typechecker)
        command = [environment.python, "-m", checker]
        if checker == "mypy" and environment.virtualenv is not None:
            command += ["--exclude", environment.virtualenv.name]
        child = self.children.start(
            [*command, info.program_directory],
            env=environment.activated(),
            cwd=info.program_directory,
        )
        code = self.children.wait(child)
        return f"{checker} failed: exit status {code}" if code else ""

    def _tell(self, text: str) -> None:
        """Shows a passing message in the engine's display."""
        with grpc.insecure_channel(self._engine, options=_GRPC_CHANNEL_OPTIONS) as channel:
            engine_pb2_grpc.EngineStub(channel).Log(
                engine_pb2.LogRequest(severity=engine_pb2.INFO, message=text, ephemeral=True)
            )


def _environment(
    info: Any, context: grpc.ServicerContext, plugin: bool = False
) -> PythonEnvironment:
    options = json_format.MessageToDict(info.options)
    try:
        return PythonEnvironment.of(info.root_directory or ".", options, plugin)
    except EnvironmentProblem as problem:
        _abort(context, problem)
        raise


def _packages(
    environment: PythonEnvironment, context: grpc.ServicerContext
) -> list[dict[str, Any]]:
    try:
        environment.validate()
        return environment.packages()
    except EnvironmentProblem as problem:
        _abort(context, problem)
        raise


def _abort(context: grpc.ServicerContext, problem: Exception) -> None:
    context.abort(grpc.StatusCode.UNKNOWN, str(problem))


def _installed(text: str) -> Any:
    return language_pb2.InstallDependenciesResponse(stdout=text.encode())


def _python_version(environment: PythonEnvironment, children: Children) -> str:
    child = children.start(
        [environment.python, "-c", "import platform; print(platform.python_version())"],
        env=environment.activated(),
        stdout=PIPE,
    )
    output, _ = child.communicate()
    children.wait(child)
    return output.decode().strip()


def _project_name(root: Path) -> str:
    with (root / "pyproject.toml").open("rb") as file:
        return str(tomllib.load(file)["project"]["name"])


def _merge(**streams: Any) -> Iterator[Any]:
    """Yields what a plugin writes, as it comes, until both streams have ended."""
    chunks: queue.Queue[tuple[str, bytes]] = queue.Queue()

    def pump(name: str) -> None:
        while chunk := streams[name].read1(65536):
            chunks.put((name, chunk))
        chunks.put((name, b""))

    for name in streams:
        threading.Thread(target=pump, args=[name], daemon=True).start()
    still_open = len(streams)
    while still_open:
        name, chunk = chunks.get()
        if chunk:
            output: dict[str, Any] = {name: chunk}
            yield language_pb2.RunPluginResponse(**output)
        else:
            still_open -= 1
