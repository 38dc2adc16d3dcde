"""The model can fail: each bug that is planted here is found by the invariant that is there for it."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest

from oxide_components import (
    cordon,
    gate,
    leaving,
    node_chain,
    node_config,
    recover,
    rollout,
    roster,
    server,
)

from . import program
from .life import Life, Trouble
from .steps import Step

Plant = Callable[[pytest.MonkeyPatch], Any]


@pytest.fixture(autouse=True)
def _fresh_program() -> Iterator[None]:
    """What a planted bug makes of the program is nobody else's."""
    program.forget()
    yield
    program.forget()


def _live(plant: Plant, patch: pytest.MonkeyPatch, steps: Sequence[Step]) -> None:
    life = Life(seed=1)
    _step("control_planes", 3).on(life)
    plant(patch)
    program.forget()
    for step in steps:
        step.on(life)
    life.settle()


def _step(what: str, value: int = 0, pool: str = "", **trouble: int) -> Step:
    return Step(what=what, value=value, pool=pool, trouble=Trouble(**trouble))


_SCALE_DOWN = (_step("control_planes", 1),)
_FEWER_WORKERS = (_step("count", 1, "worker"),)
_REBOOT = (_step("udev", 1),)


def _nothing(*_args: Any, **_options: Any) -> None:
    pass


def _apply_every_config(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(node_config, "_difference", lambda *_: (["machine"], "changes everything"))
    patch.setattr(node_config, "changed_keys", lambda *_: ["machine"])


BUGS: dict[str, tuple[Plant, tuple[Step, ...], str]] = {
    "a control plane is wiped while it is a member": (
        lambda patch: patch.setattr(leaving.Leaving, "_leave_etcd", _nothing),
        _SCALE_DOWN,
        "took etcd's quorum",
    ),
    "a leaver keeps its Node object": (
        lambda patch: patch.setattr(leaving.Leaving, "_leave", _nothing),
        _FEWER_WORKERS,
        "Node objects",
    ),
    "nobody leaves": (
        lambda patch: patch.setattr(roster, "_leavers", lambda *_: ([], [])),
        _SCALE_DOWN,
        "took etcd's quorum",
    ),
    "too many control planes leave": (
        lambda patch: patch.setattr(roster, "_refusal", lambda *_: None),
        (_step("control_planes", 5), _step("control_planes", 1)),
        "a jump of the control planes was not refused",
    ),
    "every config is applied in every run": (
        _apply_every_config,
        (_step("count", 1, "a"),),
        "touched without need",
    ),
    "a server is replaced for its user data": (
        lambda patch: patch.setattr(server, "_AT_CREATION_ONLY", []),
        (_step("sysctl", 1),),
        "took etcd's quorum",
    ),
    "the provider changes server types": (
        lambda patch: patch.setattr(server, "_AT_CREATION_ONLY", ["user_data"]),
        (_step("type", 1, "worker"),),
        "the provider powered",
    ),
    "nodes change side by side": (
        lambda patch: patch.setattr(
            node_chain,
            "_ordered",
            lambda stages, *_: [(node, []) for stage in stages for node in stage],
        ),
        _REBOOT,
        "could be changed at the same time",
    ),
    "workers of a pool change all together": (
        lambda patch: patch.setattr(
            node_chain, "_ordered", lambda stages, _most: _in_order(stages, 3)
        ),
        _REBOOT,
        "could be changed at the same time",
    ),
    "a control plane restarts while another is down": (
        lambda patch: patch.setattr(gate.Gate, "before_control_plane", _nothing),
        (_step("lose a node", 2), *_REBOOT),
        "took etcd's quorum",
    ),
    "the next control plane does not wait for the API": (
        lambda patch: [
            patch.setattr(gate.Gate, "before_control_plane", _nothing),
            patch.setattr(rollout.Site, "finish", _nothing),
        ],
        (_step("api_argument", 1),),
        "nothing served the API",
    ),
    "nodes stay cordoned": (
        lambda patch: [
            patch.setattr(cordon, "put_back", _nothing),
            patch.setattr(rollout, "put_back", _nothing),
        ],
        _REBOOT,
        "cordoned|not in service",
    ),
    "nodes that people have cordoned are opened": (
        lambda patch: patch.setattr(
            rollout, "put_back", lambda api, name: api.set_unschedulable(name, False)
        ),
        (Step(what="cordon by hand", value=4), *_REBOOT),
        "cordoned",
    ),
    "recovery forgets what exists": (
        lambda patch: patch.setattr(recover, "existing_id", lambda *_: None),
        (_step("count", 3, "worker", kill_at=1),),
        "does not converge",
    ),
    "configs never reach living nodes": (
        lambda patch: patch.setattr(node_config, "_apply", _nothing),
        (_step("sysctl", 1),),
        "config of",
    ),
}

_in_order = node_chain._ordered


@pytest.mark.parametrize("bug", BUGS)
def test_a_planted_bug_is_found(bug: str, monkeypatch: pytest.MonkeyPatch) -> None:
    plant, steps, found = BUGS[bug]

    with pytest.raises(AssertionError, match=found):
        _live(plant, monkeypatch, steps)


@pytest.mark.parametrize(
    "steps", sorted({steps for _, steps, _ in BUGS.values()}, key=repr), ids=repr
)
def test_the_same_life_passes_without_a_bug(
    steps: tuple[Step, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    _live(_nothing, monkeypatch, steps)
