"""
Pulumi's engine, as far as a cluster's life depends on it.

Providers of Oxide's own resources are the real ones, taken out of the pickled text that the program registers. The rest
follows runs of the real engine: a failed create of a dynamic resource is not recorded unless its provider says so; after
a failure no new branch may begin and nothing is deleted; deletions come last, dependents first; a killed engine leaves
creations pending and forgets what else was under way.
"""

import base64
import contextlib
import random
from collections.abc import Callable, Collection, Sequence
from typing import Any

import dill

from .cloud import REPLACED_FOR, Cloud, CloudError
from .fakes import in_place
from .program import DYNAMIC, PRIMARY_IP, ROSTER, SERVER, Goal, filled, is_known, with_unknowns
from .state import Resource, Run, State, resource_of
from .world import KilledError, World

_PROVIDER = "__provider"
_OUTPUTS = {
    SERVER: ("id", "public", "private", "serverType"),
    PRIMARY_IP: ("address",),
    ROSTER: ("superseded",),
}


class Engine:
    """One stack."""

    def __init__(self, world: World, seed: int) -> None:
        self.world = world
        self.state = State()
        self.last = Run()
        self.cloud = Cloud(world)
        self._random = random.Random(seed)  # noqa: S311  a test repeats itself
        self._providers: dict[str, Any] = {}
        self._partly: list[tuple[str, dict[str, Any], str]] = []

    def up(
        self,
        goals: Sequence[Goal],
        *,
        interrupt_after: int | None = None,
        replace: Collection[str] = (),
    ) -> Run:
        """
        `pulumi up`.

        Args:
            interrupt_after: Ctrl-C arrives during this operation.
            replace: URNs of `--replace`.
        """
        run = self.last = Run()
        with self.in_place():
            try:
                self._preview(goals, run)
                if not run.refused:
                    self._update(goals, run, interrupt_after, replace)
                if run.ok:
                    self._delete_rest(goals, run, interrupt_after)
            except KilledError:
                run.killed = True
                self.world.calls_until_kill = None
        return run

    def in_place(self) -> contextlib.AbstractContextManager[None]:
        """The world in place of everything that providers and commands talk to."""
        return in_place(self.world, self._partly)

    def refresh(self) -> None:
        """`pulumi refresh --clear-pending-creates`."""
        self.state.pending = []
        for resource in list(self.state.resources.values()):
            if resource.type.startswith(DYNAMIC):
                read = self._provider(resource.inputs).read(resource.id, dict(resource.outputs))
                resource.outputs = dict(read.outs)
            elif not self.cloud.exists(resource.type, resource.id):
                self.state.forget(resource.urn)
            else:
                resource.outputs = self.cloud.outputs(resource.type, resource.id, resource.inputs)

    # Preview

    def _preview(self, goals: Sequence[Goal], run: Run) -> None:
        """Every check comes before the first change; what is yet to be made is unknown to it."""
        wanted = {goal.urn for goal in goals}
        for resource in self.state.resources.values():
            if resource.protect and resource.urn not in wanted:
                run.failures[resource.name] = "protected"
        for goal in goals:
            if not goal.type.startswith(DYNAMIC):
                continue
            provider = self._provider(goal.inputs)
            old = self.state.resources.get(goal.urn)
            inputs = with_unknowns(filled(goal.inputs, self._known))
            checked = provider.check(dict(old.inputs) if old else {}, inputs)
            if checked.failures:
                run.failures[goal.name] = "; ".join(f.reason for f in checked.failures)
            elif old is not None:
                provider.diff(old.id, dict(old.outputs), checked.inputs)
        run.refused = bool(run.failures)

    # Creations and updates

    def _update(
        self,
        goals: Sequence[Goal],
        run: Run,
        interrupt_after: int | None,
        replace: Collection[str],
    ) -> None:
        waiting = {goal.urn: goal for goal in goals}
        # Once something has failed, what is under way ends; how much that is, nobody knows.
        goes_on = self._random.random() < 0.5
        while waiting:
            ready = [g for g in waiting.values() if not any(d in waiting for d in g.dependencies)]
            if not ready or (run.failures and not goes_on):
                return
            # Branches that do not depend on each other run in any order.
            goal = self._random.choice(ready)
            try:
                self._step(goal, run, goal.urn in replace)
            except KilledError:
                self._lose_sight_of([g for g in ready if g is not goal])
                raise
            except Exception as error:
                run.failures[goal.name] = str(error)
                # Its dependents keep waiting for it.
                waiting[goal.urn] = goal
                for urn in self._after(goal.urn, waiting):
                    del waiting[urn]
                continue
            del waiting[goal.urn]
            if interrupt_after is not None and len(run.ops) > interrupt_after:
                run.interrupted = True
                return

    def _after(self, urn: str, waiting: dict[str, Goal]) -> set[str]:
        lost = {urn}
        while more := {
            g.urn for g in waiting.values() if g.urn not in lost and lost & set(g.dependencies)
        }:
            lost |= more
        return lost

    def _step(self, goal: Goal, run: Run, replace: bool) -> None:
        if not goal.custom:
            self._record(goal, goal.name, {}, {})
            return
        old = self.state.resources.get(goal.urn)
        inputs = filled(goal.inputs, self._known)
        assert is_known(inputs), f"{goal.name} uses an output of something it does not depend on"
        if goal.type.startswith(DYNAMIC):
            self._dynamic_step(goal, old, inputs, run)
        else:
            self._provider_step(goal, old, inputs, run, replace)

    def _dynamic_step(
        self, goal: Goal, old: Resource | None, inputs: dict[str, Any], run: Run
    ) -> None:
        provider = self._provider(inputs)
        checked = provider.check(dict(old.inputs) if old else {}, dict(inputs))
        if checked.failures:
            raise CloudError("; ".join(f.reason for f in checked.failures))
        inputs = dict(checked.inputs)
        if old is None:
            run.ops.append(("create", goal.type, goal.name))
            self._call(goal, inputs, lambda: provider.create(dict(inputs)), "create")
            return
        differs = provider.diff(old.id, dict(old.outputs), dict(inputs)).changes
        if differs or old.init_errors:
            run.ops.append(("update", goal.type, goal.name))
            self._call(
                goal,
                inputs,
                lambda: provider.update(old.id, dict(old.outputs), dict(inputs)),
                "update",
            )
        else:
            old.follow(goal, inputs)

    def _call(self, goal: Goal, inputs: dict[str, Any], call: Callable[[], Any], what: str) -> None:
        self._partly.clear()
        old = self.state.resources.get(goal.urn)
        try:
            result = call()
        except KilledError:
            if what == "create":
                self._leave_pending(goal, inputs)
            raise
        except Exception:
            for id_, outs, reason in self._partly:
                self._record(goal, id_, inputs, outs, [reason])
            raise
        id_ = result.id if what == "create" else old.id if old else ""
        self._record(goal, id_, inputs, dict(result.outs))

    def _provider_step(
        self, goal: Goal, old: Resource | None, inputs: dict[str, Any], run: Run, replace: bool
    ) -> None:
        if old is None:
            run.ops.append(("create", goal.type, goal.name))
            self._create(goal, inputs)
            return
        for key in goal.ignore_changes:
            inputs.pop(key, None)
            if key in old.inputs:
                inputs[key] = old.inputs[key]
        changed = {
            key
            for key in inputs.keys() | old.inputs.keys()
            if inputs.get(key) != old.inputs.get(key)
        }
        if replace or changed & REPLACED_FOR.get(goal.type, frozenset()):
            assert goal.delete_before_replace, f"{goal.name}: a name cannot exist twice"
            run.ops.append(("replace", goal.type, goal.name))
            self.cloud.delete(goal.type, old.id)
            del self.state.resources[goal.urn]
            # A new server gets today's values, whatever is ignored.
            self._create(goal, filled(goal.inputs, self._known))
        elif changed and goal.type.startswith("hcloud:"):
            run.ops.append(("update", goal.type, goal.name))
            self.cloud.update(goal.type, old.id, inputs, changed)
            self._record(goal, old.id, inputs, {**old.outputs, **inputs})
        elif changed:
            # Providers, credentials, releases: not known to touch nodes.
            run.ops.append(("update", goal.type, goal.name))
            self._record(goal, old.id, inputs, {**old.outputs, **inputs})
        else:
            old.follow(goal, inputs)

    def _create(self, goal: Goal, inputs: dict[str, Any]) -> None:
        try:
            id_, outputs = self.cloud.create(goal.type, goal.name, inputs)
        except KilledError:
            self._leave_pending(goal, inputs)
            raise
        self._record(goal, id_, inputs, outputs)

    def _lose_sight_of(self, ready: Sequence[Goal]) -> None:
        """Creations that ran beside the one at which the engine died: not begun, or begun, or done."""
        self.world.calls_until_kill = None
        for goal in ready:
            if not goal.type.startswith("hcloud:") or goal.urn in self.state.resources:
                continue
            fate = self._random.choice(("not begun", "begun", "done"))
            if fate == "not begun":
                continue
            inputs = filled(goal.inputs, self._known)
            if fate == "done":
                try:
                    self.cloud.create(goal.type, goal.name, inputs)
                except CloudError:
                    continue
            self._leave_pending(goal, inputs)

    # Deletions

    def _delete_rest(self, goals: Sequence[Goal], run: Run, interrupt_after: int | None) -> None:
        wanted = {goal.urn for goal in goals}
        waiting = {urn for urn in self.state.resources if urn not in wanted}
        while waiting:
            ready = sorted(u for u in waiting if not waiting & set(self.state.dependents(u)))
            if not ready:
                return
            urn = self._random.choice(ready)
            resource = self.state.resources[urn]
            dynamic = resource.type.startswith(DYNAMIC)
            if dynamic:
                self._provider(resource.inputs).delete(resource.id, dict(resource.outputs))
            if dynamic or not resource.type.startswith("oxide:"):
                run.ops.append(("delete", resource.type, resource.name))
            if resource.type.startswith("hcloud:"):
                try:
                    self.cloud.delete(resource.type, resource.id)
                except CloudError as error:
                    run.failures[resource.name] = str(error)
                    waiting -= {urn} | {u for u in waiting if u in resource.dependencies}
                    continue
            waiting.discard(urn)
            self.state.forget(urn)
            if interrupt_after is not None and len(run.ops) > interrupt_after:
                run.interrupted = True
                return

    # State

    def _record(
        self,
        goal: Goal,
        id_: str,
        inputs: dict[str, Any],
        outputs: dict[str, Any],
        init_errors: Sequence[str] = (),
    ) -> None:
        self.state.resources[goal.urn] = resource_of(goal, id_, inputs, outputs)
        self.state.resources[goal.urn].init_errors = list(init_errors)

    def _leave_pending(self, goal: Goal, inputs: dict[str, Any]) -> None:
        self.state.pending.append(resource_of(goal, "", inputs, {}))

    def _known(self, token: str) -> Any:
        """An output of a server or a primary IP in the state."""
        name, _, output = token.partition(".")
        for type_, outputs in _OUTPUTS.items():
            if output in outputs:
                for resource in self.state.resources.values():
                    if resource.name == name and resource.type == type_:
                        return resource.outputs.get(output)
        return None

    def _provider(self, inputs: Any) -> Any:
        text = inputs[_PROVIDER]
        if text not in self._providers:
            self._providers[text] = dill.loads(base64.b64decode(text))  # noqa: S301  our own text
        return self._providers[text]
