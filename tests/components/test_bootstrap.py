"""The guarded bootstrap, against a talosctl of our own that answers from a table."""

import json
import stat
import sys
from pathlib import Path
from typing import Any

import pytest

from oxide_components import bootstrap
from oxide_components.bootstrap import BootstrapProvider
from oxide_components.errors import OxideError

_FAKE = """#!{python}
import json, os, pathlib, sys
table = json.loads(pathlib.Path({table!r}).read_text())
flags = [a for a in sys.argv[1:] if a.startswith("--")]
words = [a for a in sys.argv[1:] if not a.startswith("--")]
node = next(f for f in flags if f.startswith("--nodes=")).split("=")[1]
with open({log!r}, "a") as log:
    log.write(f"{{node}} {{' '.join(words)}}\\n")
answer = table["answers"].get(f"{{node}} {{' '.join(words)}}")
if answer is None:
    print("error: rpc error: code = Unavailable desc = no route to host", file=sys.stderr)
    sys.exit(1)
if "bootstrap" in words and not answer.startswith("error"):
    for key in table["answers"]:
        if key.endswith("etcd members"):
            table["answers"][key] = "member"
    pathlib.Path({table!r}).write_text(json.dumps(table))
if answer.startswith("error"):
    print(answer, file=sys.stderr)
    sys.exit(1)
print(answer)
"""


class FakeTalos:
    """A talosctl on PATH whose answers a test sets and whose calls it reads."""

    def __init__(self, directory: Path) -> None:
        self._table = directory / "table.json"
        self._log = directory / "calls.log"
        self._log.touch()
        script = directory / "talosctl"
        script.write_text(
            _FAKE.format(python=sys.executable, table=str(self._table), log=str(self._log))
        )
        script.chmod(script.stat().st_mode | stat.S_IXUSR)

    def answer(self, answers: dict[str, str]) -> None:
        self._table.write_text(json.dumps({"answers": answers}))

    def calls(self, word: str) -> list[str]:
        return [line for line in self._log.read_text().splitlines() if word in line.split()]


@pytest.fixture
def talos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeTalos:
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    monkeypatch.setattr(bootstrap, "BOOT_TIMEOUT", 0.0)
    monkeypatch.setattr(bootstrap, "ETCD_TIMEOUT", 0.0)
    return FakeTalos(tmp_path)


def _props() -> dict[str, Any]:
    return {
        "cluster_name": "demo",
        "talosconfig": "context: planted-talosconfig",
        "control_planes": [
            {
                "name": f"demo-cp-{index}",
                "private_address": f"10.0.0.1{index}",
                "public_address": f"192.0.2.{index}",
            }
            for index in (1, 2, 3)
        ],
        "urn": "",
    }


def _answers(states: dict[int, str | None], bootstrap_says: str = "done") -> dict[str, str]:
    answers = {}
    for index, state in states.items():
        if state is None:
            continue
        node = f"10.0.0.1{index}"
        answers |= {
            f"{node} version": "Server: v1.13.9",
            f"{node} service etcd": f"NODE     {node}\nID       etcd\nSTATE    {state}\nHEALTH   ?",
            f"{node} bootstrap": bootstrap_says,
            f"{node} etcd members": "member" if state == "Running" else "error: no etcd",
        }
    return answers


def test_a_fresh_cluster_is_bootstrapped_once_on_the_first_control_plane(talos: FakeTalos) -> None:
    talos.answer(_answers({1: "Preparing", 2: "Preparing", 3: "Preparing"}))

    BootstrapProvider().create(_props())

    assert talos.calls("bootstrap") == ["10.0.0.11 bootstrap"]


@pytest.mark.parametrize("member", [1, 2, 3])
def test_a_member_anywhere_means_success_without_a_call(talos: FakeTalos, member: int) -> None:
    states: dict[int, str | None] = {1: "Preparing", 2: "Preparing", 3: "Preparing"}
    talos.answer(_answers({**states, member: "Running"}))

    BootstrapProvider().create(_props())

    assert talos.calls("bootstrap") == []


@pytest.mark.parametrize("silent", [1, 2, 3])
def test_a_control_plane_that_does_not_answer_is_a_refusal_that_names_it(
    talos: FakeTalos, silent: int
) -> None:
    states: dict[int, str | None] = {1: "Preparing", 2: "Preparing", 3: "Preparing"}
    talos.answer(_answers({**states, silent: None}))

    with pytest.raises(OxideError, match=f"demo-cp-{silent}"):
        BootstrapProvider().create(_props())

    assert talos.calls("bootstrap") == []


def test_a_failing_etcd_is_never_bootstrapped_around(talos: FakeTalos) -> None:
    talos.answer(_answers({1: "Preparing", 2: "Failed", 3: "Preparing"}))

    with pytest.raises(OxideError, match="etcd"):
        BootstrapProvider().create(_props())

    assert talos.calls("bootstrap") == []


def test_an_answer_lost_earlier_counts_as_bootstrapped(talos: FakeTalos) -> None:
    refusal = "error: rpc error: code = AlreadyExists desc = etcd data directory is not empty"
    answers = _answers({1: "Preparing", 2: "Preparing", 3: "Preparing"}, refusal)
    answers["10.0.0.11 etcd members"] = "member"
    talos.answer(answers)

    BootstrapProvider().create(_props())


def test_another_refusal_of_the_node_is_shown_in_one_line(talos: FakeTalos) -> None:
    refusal = "error: rpc error: code = FailedPrecondition desc = time is not in sync yet"
    talos.answer(_answers({1: "Preparing", 2: "Preparing", 3: "Preparing"}, refusal))

    with pytest.raises(OxideError, match="time is not in sync") as caught:
        BootstrapProvider().create(_props())

    assert "\n" not in str(caught.value)
    assert "planted" not in str(caught.value)


def test_without_talosctl_the_error_says_where_to_get_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))

    with pytest.raises(OxideError, match="talosctl is not on PATH"):
        BootstrapProvider().create(_props())
