"""The state that the model's engine keeps, in the form in which `pulumi stack export` shows it."""

import contextlib
import io
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from typing import Any

from oxide_components.recover import recover

from .program import Goal


@dataclass(kw_only=True)
class Resource:
    """One resource in the state."""

    urn: str
    type: str
    name: str
    id: str
    inputs: dict[str, Any]
    outputs: dict[str, Any]
    dependencies: list[str] = field(default_factory=list)
    protect: bool = False
    init_errors: list[str] = field(default_factory=list)

    def follow(self, goal: Goal, inputs: dict[str, Any]) -> None:
        """Take over what a run without a change records all the same."""
        self.inputs = inputs
        self.dependencies = list(goal.dependencies)
        self.protect = goal.protect


@dataclass(kw_only=True)
class State:
    """Resources by URN, and operations whose end the engine did not see."""

    resources: dict[str, Resource] = field(default_factory=dict)
    pending: list[Resource] = field(default_factory=list)

    def dependents(self, urn: str) -> list[str]:
        """Who has to be deleted before this resource."""
        return [r.urn for r in self.resources.values() if urn in r.dependencies]

    def forget(self, urn: str) -> None:
        """Take a resource out, also of what others depend on."""
        del self.resources[urn]
        for resource in self.resources.values():
            if urn in resource.dependencies:
                resource.dependencies.remove(urn)

    def exported(self) -> dict[str, Any]:
        """As `pulumi stack export` prints it."""
        return {
            "deployment": {
                "resources": [asdict(resource) for resource in self.resources.values()],
                "pending_operations": [
                    {"type": "creating", "resource": asdict(resource)} for resource in self.pending
                ],
            }
        }

    def load(self, exported: dict[str, Any]) -> None:
        """As `pulumi stack import` reads it."""
        inner = exported["deployment"]
        self.resources = {found["urn"]: Resource(**found) for found in inner["resources"]}
        self.pending = [Resource(**found["resource"]) for found in inner["pending_operations"]]


def resource_of(goal: Goal, id_: str, inputs: dict[str, Any], outputs: dict[str, Any]) -> Resource:
    """A resource as it is recorded."""
    return Resource(
        urn=goal.urn,
        type=goal.type,
        name=goal.name,
        id=id_,
        inputs=inputs,
        outputs=outputs,
        dependencies=list(goal.dependencies),
        protect=goal.protect,
    )


@dataclass
class Run:
    """What one `up` did."""

    ops: list[tuple[str, str, str]] = field(default_factory=list)
    """Operation, type and name of everything that was not left as it is, in order."""
    failures: dict[str, str] = field(default_factory=dict)
    refused: bool = False
    """The preview failed; nothing was touched."""
    interrupted: bool = False
    killed: bool = False

    @property
    def ok(self) -> bool:
        """Whether everything was done."""
        return not (self.failures or self.interrupted or self.killed)


class Cli:
    """The pulumi command, as `oxide_components.recover` calls it."""

    def __init__(self, engine: Any, goals: tuple[Goal, ...]) -> None:
        self._engine, self._goals = engine, goals

    def show(self, *args: str) -> int:
        """Refresh or up; an exit code."""
        if args[0] == "refresh":
            assert "--clear-pending-creates" in args
            self._engine.refresh()
            return 0
        assert args[0] == "up", args
        return 0 if self._engine.up(self._goals).ok else 255

    def read(self, *args: str) -> str:
        """Cancel or export."""
        exported = self._engine.state.exported() if args[:2] == ("stack", "export") else {}
        return json.dumps(exported)

    def write(self, text: str, *args: str) -> None:
        """Import."""
        assert args == ("stack", "import"), args
        self._engine.state.load(json.loads(text))


def recovered(engine: Any, goals: tuple[Goal, ...]) -> bool:
    """Run the recovery command itself; whether it ended well."""
    with engine.in_place(), _quiet():
        return recover(Cli(engine, goals), confirmed=True) == 0  # type: ignore[arg-type]


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        yield
