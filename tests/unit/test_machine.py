"""One node's Talos API: the way to it, and what of its answers may be told."""

import contextlib
from collections.abc import Iterator
from typing import Any

import pytest

from oxide_components.machine import Machine
from oxide_components.talosctl import TalosError

WAYS = [
    {"name": f"demo-cp-{i}", "private_address": f"10.0.0.1{i}", "public_address": f"192.0.2.{i}"}
    for i in (1, 2, 3)
]


class _Talosctl:
    """Answers by the command's first word; an exception is raised."""

    def __init__(self, **answers: str | TalosError) -> None:
        self.answers: dict[str, str | TalosError] = {"version": "Server:\n", **answers}
        self.dead: set[str] = set()
        self.calls: list[tuple[str, str]] = []

    def run(self, *args: str, node: str, endpoint: str, timeout: float = 30) -> str:
        assert node == "10.0.0.12"
        self.calls.append((args[0], endpoint))
        if endpoint in self.dead:
            raise TalosError(f"talosctl {args[0]} on {node}: no route to host")
        answer = self.answers[args[0]]
        if isinstance(answer, TalosError):
            raise answer
        return answer

    @contextlib.contextmanager
    def file(self, text: str) -> Iterator[str]:
        yield "input-1"


def _machine(talosctl: _Talosctl) -> Machine:
    fake: Any = talosctl
    return Machine(fake, "demo-cp-2", "10.0.0.12", WAYS)


def test_a_control_plane_is_reached_through_the_others_which_stay_while_it_restarts() -> None:
    talosctl = _Talosctl(reboot="")
    _machine(talosctl).reboot()

    assert talosctl.calls == [("version", "192.0.2.1"), ("reboot", "192.0.2.1")]


def test_a_way_that_is_closed_is_left_for_the_next_and_itself_is_the_last() -> None:
    talosctl = _Talosctl()
    talosctl.dead = {"192.0.2.1", "192.0.2.3"}

    assert _machine(talosctl).silent_reason() is None
    assert [endpoint for _, endpoint in talosctl.calls] == ["192.0.2.1", "192.0.2.3", "192.0.2.2"]


def test_a_node_that_nobody_reaches_says_why() -> None:
    talosctl = _Talosctl()
    talosctl.dead = {way["public_address"] for way in WAYS}

    assert "no route to host" in str(_machine(talosctl).silent_reason())


@pytest.mark.parametrize("answer", ["", "{[planted-value", "- a\n- b\n", "metadata: {}\n"])
def test_an_answer_that_is_no_config_fails_without_being_quoted(answer: str) -> None:
    with pytest.raises(TalosError, match="demo-cp-2 has not answered with a machine config") as e:
        _machine(_Talosctl(get=answer)).config()

    assert "planted" not in str(e.value)
    assert e.value.__suppress_context__


@pytest.mark.parametrize(
    "output",
    [
        "rpc error: code = InvalidArgument desc = refused\ndiff: planted-value",
        "rpc error: code = InvalidArgument desc = refused: unknown keys found during decoding:\nkey: planted-value",
    ],
)
def test_a_refusal_is_told_without_the_config_that_follows_it(output: str) -> None:
    error = TalosError("talosctl apply-config on 10.0.0.12: planted-value", output)

    with pytest.raises(TalosError, match="refused") as caught:
        _machine(_Talosctl(**{"apply-config": error})).apply("config")

    assert "planted" not in str(caught.value)
    assert "planted" not in caught.value.output
    assert caught.value.__suppress_context__


def test_every_reason_of_a_refusal_is_told_in_one_line() -> None:
    output = "rpc error: code = InvalidArgument desc = 2 errors occurred:\n\t* one\n\t* two\n"
    error = TalosError("talosctl apply-config on 10.0.0.12: * two", output)

    with pytest.raises(TalosError, match=r"2 errors occurred: \* one \* two$"):
        _machine(_Talosctl(**{"apply-config": error})).apply("config")


def test_a_config_that_needs_a_reboot_is_no_failure_unless_it_is_staged() -> None:
    text = "this config change can't be applied in immediate mode\ndiff: planted-value"
    machine = _machine(_Talosctl(**{"apply-config": TalosError("talosctl apply-config", text)}))

    assert machine.apply("config") is False
    with pytest.raises(TalosError):
        machine.apply("config", staged=True)


def test_a_refused_reboot_is_a_failure_and_a_lost_answer_is_none() -> None:
    lost = TalosError("talosctl reboot on 10.0.0.12: rpc error: code = Unavailable desc = EOF")
    _machine(_Talosctl(reboot=lost)).reboot()

    refused = TalosError("talosctl reboot on 10.0.0.12: rpc error: code = PermissionDenied")
    with pytest.raises(TalosError, match="PermissionDenied"):
        _machine(_Talosctl(reboot=refused)).reboot()


def test_the_version_is_the_nodes_and_not_talosctls() -> None:
    answer = "Client:\n\tTag:         v1.12.0\nServer:\n\tNODE:  10.0.0.12\n\tTag:   v1.13.9\n"

    assert _machine(_Talosctl(version=answer)).version() == "v1.13.9"
    with pytest.raises(TalosError, match="has not answered with its version"):
        _machine(_Talosctl(version="Client:\n\tTag: v1.12.0\n")).version()
