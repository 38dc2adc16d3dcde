"""The guarded bootstrap, against a talosctl of our own that answers from a table."""

import json
import stat
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from pulumi.output import Unknown
from pulumi.runtime.rpc import UNKNOWN

from oxide_components import bootstrap, dynamic_provider
from oxide_components.bootstrap import BootstrapProvider
from oxide_components.errors import OxideError

_FAKE = """#!{python}
import json, os, pathlib, sys
table = json.loads(pathlib.Path({table!r}).read_text())
flags = [a for a in sys.argv[1:] if a.startswith("--")]
words = [a for a in sys.argv[1:] if not a.startswith("--")]
node = next(f for f in flags if f.startswith("--nodes=")).split("=")[1]
recovery = [f for f in flags if f.startswith("--recover-from=")]
with open({log!r}, "a") as log:
    log.write(" ".join([node, *words, *recovery]) + "\\n")
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
    # Locks are machine-wide: another test run must not stop this one.
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
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
                "server_id": str(1000 + index),
            }
            for index in (1, 2, 3)
        ],
        "urn": "",
    }


def _answers(holds_data: dict[int, bool | None], bootstrap_says: str = "done") -> dict[str, str]:
    """Answers of control planes with data (True), without (False), or silent (None)."""
    answers = {}
    for index, data in holds_data.items():
        if data is None:
            continue
        node = f"10.0.0.1{index}"
        answers |= {
            f"{node} list /var/lib/etcd": "NODE   NAME\n.\nmember" if data else "NODE   NAME\n.",
            f"{node} bootstrap": bootstrap_says,
            f"{node} etcd members": "member" if data else "error: no etcd",
            f"{node} etcd status": f"NODE        LEADER    LEARNER   ERRORS\n{node}   12ab      false     ",
        }
    return answers


EMPTY: dict[int, bool | None] = {1: False, 2: False, 3: False}


def test_a_fresh_cluster_is_bootstrapped_once_on_the_first_control_plane(talos: FakeTalos) -> None:
    talos.answer(_answers(EMPTY))

    BootstrapProvider().create(_props())

    assert talos.calls("bootstrap") == ["10.0.0.11 bootstrap"]


def test_a_node_whose_etcd_directory_does_not_exist_yet_holds_no_data(talos: FakeTalos) -> None:
    missing = (
        "error: rpc error: code = Unknown desc = lstat /var/lib/etcd: no such file or directory"
    )
    answers = _answers(EMPTY)
    talos.answer(
        {
            **answers,
            **{key: missing for key in answers if " list " in key},
            **{f"10.0.0.1{i} list /var/lib": "NODE   NAME\n.\nkubelet" for i in EMPTY},
        }
    )

    BootstrapProvider().create(_props())

    assert talos.calls("bootstrap") == ["10.0.0.11 bootstrap"]


@pytest.mark.parametrize(
    "disk",
    ["NODE   NAME\n.", "error: rpc error: code = Unknown desc = lstat /var/lib: no such file"],
)
def test_a_node_that_has_not_mounted_its_disk_is_not_taken_for_an_empty_one(
    talos: FakeTalos, monkeypatch: pytest.MonkeyPatch, disk: str
) -> None:
    monkeypatch.setattr("oxide_components.bootstrap.BOOT_TIMEOUT", 0)
    missing = (
        "error: rpc error: code = Unknown desc = lstat /var/lib/etcd: no such file or directory"
    )
    talos.answer(
        {
            **_answers(EMPTY),
            "10.0.0.12 list /var/lib/etcd": missing,
            "10.0.0.12 list /var/lib": disk,
        }
    )

    with pytest.raises(OxideError, match="cp-2 has not mounted its disk"):
        BootstrapProvider().create(_props())

    assert talos.calls("bootstrap") == []


def test_a_firewall_that_shuts_this_machine_out_looks_like_silence(talos: FakeTalos) -> None:
    talos.answer({})
    with pytest.raises(OxideError, match=r"not within 0 s: demo-cp-1: .*adminCidrs"):
        BootstrapProvider().create(_props())


@pytest.mark.parametrize("private", [False, True])
def test_a_firewall_is_not_suspected_where_there_is_none_or_it_has_let_somebody_in(
    talos: FakeTalos, private: bool
) -> None:
    talos.answer({} if private else _answers({**EMPTY, 3: None}))
    props = _props()
    if private:
        for node in props["control_planes"]:
            node["public_address"] = node["private_address"]

    with pytest.raises(OxideError, match="not within 0 s: demo-cp-") as raised:
        BootstrapProvider().create(props)

    assert "adminCidrs" not in str(raised.value)


@pytest.mark.parametrize("member", [1, 2, 3])
def test_data_anywhere_means_success_without_a_call(talos: FakeTalos, member: int) -> None:
    talos.answer(_answers({**EMPTY, member: True}))

    BootstrapProvider().create(_props())

    assert talos.calls("bootstrap") == []


@pytest.mark.parametrize("silent", [1, 2, 3])
def test_a_control_plane_that_does_not_answer_is_a_refusal_that_names_it(
    talos: FakeTalos, silent: int
) -> None:
    talos.answer(_answers({**EMPTY, silent: None}))

    with pytest.raises(OxideError, match=f"demo-cp-{silent}"):
        BootstrapProvider().create(_props())

    assert talos.calls("bootstrap") == []


def test_a_restarting_etcd_is_never_bootstrapped_around(talos: FakeTalos) -> None:
    answers = _answers({**EMPTY, 2: True})
    answers["10.0.0.12 etcd members"] = "error: etcd is starting"
    talos.answer(answers)

    with pytest.raises(OxideError, match="etcd"):
        BootstrapProvider().create(_props())

    assert talos.calls("bootstrap") == []


def test_an_answer_lost_earlier_counts_as_bootstrapped(talos: FakeTalos) -> None:
    refusal = "error: rpc error: code = AlreadyExists desc = etcd data directory is not empty"
    answers = _answers(EMPTY, refusal)
    answers["10.0.0.11 etcd members"] = "member"
    talos.answer(answers)

    BootstrapProvider().create(_props())


@pytest.mark.parametrize("reason", ["bootstrap is not available yet", "time is not in sync yet"])
def test_a_node_that_still_boots_is_waited_for(
    talos: FakeTalos, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    refusal = f"error: rpc error: code = FailedPrecondition desc = {reason}"
    talos.answer(_answers(EMPTY, refusal))
    monkeypatch.setattr(bootstrap, "ETCD_TIMEOUT", 30.0)
    ready = iter([_answers(EMPTY)])

    def pause(_seconds: float) -> None:
        for answers in ready:
            talos.answer(answers)
            break

    clock = SimpleNamespace(monotonic=time.monotonic, sleep=pause)
    monkeypatch.setattr("oxide_components.dynamic_provider.time", clock)

    BootstrapProvider().create(_props())

    assert len(talos.calls("bootstrap")) == 2


def test_a_control_plane_that_a_killed_run_has_left_off_is_started_once(
    talos: FakeTalos, monkeypatch: pytest.MonkeyPatch
) -> None:
    talos.answer(_answers({1: False, 2: None, 3: False}))
    monkeypatch.setattr(bootstrap, "BOOT_TIMEOUT", 30.0)
    monkeypatch.setattr(bootstrap, "POWER_PATIENCE", 0.0)
    monkeypatch.setattr("oxide_components.dynamic_provider.time.sleep", lambda _seconds: None)
    started: list[str] = []

    def power(cluster_name: str, name: str, *, on: bool) -> bool:
        assert (cluster_name, on) == ("demo", True)
        started.append(name)
        talos.answer(_answers(EMPTY))
        return True

    monkeypatch.setattr(bootstrap, "power", power)
    BootstrapProvider().create(_props())

    assert started == ["demo-cp-2"]
    assert talos.calls("bootstrap") == ["10.0.0.11 bootstrap"]


def test_a_final_refusal_of_the_node_is_shown_in_one_line(talos: FakeTalos) -> None:
    refusal = "error: rpc error: code = PermissionDenied desc = not authorized"
    talos.answer(_answers(EMPTY, refusal))

    with pytest.raises(OxideError, match="not authorized") as caught:
        BootstrapProvider().create(_props())

    assert "\n" not in str(caught.value)
    assert "planted" not in str(caught.value)


def test_without_talosctl_the_error_says_where_to_get_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))

    with pytest.raises(OxideError, match="talosctl is not on PATH"):
        BootstrapProvider().create(_props())


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What the provider leaves in the engine's display."""
    texts: list[str] = []

    def log(_urn: str | None, text: str, *, ephemeral: bool, severity: Any) -> None:
        if not ephemeral:
            texts.append(text)

    monkeypatch.setattr(dynamic_provider, "_log", log)
    return texts


def _restoring() -> dict[str, Any]:
    return {**_props(), "restore_from": "./etcd.db"}


def _on_servers(*ids: object, **more: Any) -> dict[str, Any]:
    planned = _props()["control_planes"]
    nodes = [{**planned[place], "server_id": id_} for place, id_ in enumerate(ids)]
    return {**_props(), **more, "control_planes": nodes}


def _refusals(olds: dict[str, Any], news: dict[str, Any]) -> list[str]:
    return [failure.reason for failure in BootstrapProvider().check(olds, news).failures or []]


def test_a_cluster_without_data_starts_from_the_snapshot(talos: FakeTalos, said: list[str]) -> None:
    talos.answer(_answers(EMPTY))

    BootstrapProvider().update("demo", _props(), _restoring())

    assert talos.calls("bootstrap") == ["10.0.0.11 bootstrap --recover-from=./etcd.db"]
    assert said == [
        "etcd was restored from ./etcd.db; restoreFrom has served: `pulumi config rm restoreFrom`"
    ]


@pytest.mark.parametrize("member", [1, 2, 3])
def test_nothing_is_restored_beside_data_whoever_else_is_silent(
    talos: FakeTalos, said: list[str], member: int
) -> None:
    silent: dict[int, bool | None] = {1: None, 2: None, 3: None}
    talos.answer(_answers({**silent, member: True}))

    BootstrapProvider().update("demo", _props(), _restoring())

    assert talos.calls("bootstrap") == []
    assert "nothing was restored" in said[0]
    assert f"demo-cp-{member} holds data" in said[0]


@pytest.mark.parametrize("silent", [1, 2, 3])
def test_nothing_is_restored_while_a_silent_control_plane_may_hold_data(
    talos: FakeTalos, silent: int
) -> None:
    talos.answer(_answers({**EMPTY, silent: None}))

    with pytest.raises(OxideError, match=f"demo-cp-{silent}"):
        BootstrapProvider().update("demo", _props(), _restoring())

    assert talos.calls("bootstrap") == []


def test_data_that_keeps_a_snapshot_out_and_does_not_start_is_named(talos: FakeTalos) -> None:
    answers = _answers({**EMPTY, 2: True})
    answers["10.0.0.12 etcd members"] = "error: etcdserver: no leader"
    talos.answer(answers)

    with pytest.raises(OxideError, match="etcd with its data on demo-cp-2: not within"):
        BootstrapProvider().update("demo", _props(), _restoring())


def test_a_restore_ends_when_every_control_plane_votes(talos: FakeTalos) -> None:
    answers = _answers(EMPTY)
    answers["10.0.0.13 etcd status"] = answers["10.0.0.13 etcd status"].replace("false", "true")
    talos.answer(answers)

    with pytest.raises(OxideError, match="demo-cp-3: is a learner"):
        BootstrapProvider().update("demo", _props(), _restoring())


@pytest.mark.parametrize("ids", [("1", "2", "3"), (Unknown(), Unknown(), Unknown()), ("9",)])
def test_new_servers_everywhere_are_refused_without_a_snapshot(ids: tuple[object, ...]) -> None:
    (refusal,) = _refusals(_props(), _on_servers(*ids))

    assert "Name a snapshot of etcd in restoreFrom" in refusal
    assert _refusals(_props(), _on_servers(*ids, restore_from="./etcd.db")) == []


def test_as_long_as_one_server_is_kept_others_may_be_new() -> None:
    assert _refusals(_props(), _on_servers("1", Unknown(), "1003")) == []


def test_a_cluster_that_was_never_founded_needs_no_snapshot() -> None:
    assert _refusals({}, _props()) == []


def test_only_a_snapshot_lets_a_run_look_for_data_again(said: list[str]) -> None:
    provider = BootstrapProvider()
    assert provider.diff("demo", _props(), _on_servers("1", "2", "3")).changes is False
    assert said == []
    assert provider.diff("demo", _restoring(), _restoring()).changes is True
    assert "it starts from ./etcd.db; otherwise nothing happens" in said[0]


def _asked_before_a_replacement(*replaced: int) -> dict[str, Any]:
    """Inputs as the engine has them when it asks what the deletion of these servers would change."""
    names = [node["name"] for node in _props()["control_planes"]]
    servers = {
        f"server_of_{name}": UNKNOWN if index in replaced else str(index)
        for index, name in enumerate(names, start=1)
    }
    ways = {
        f"way_to_{node['name']}": {
            "private_address": node["private_address"],
            "public_address": node["public_address"],
        }
        for node in _props()["control_planes"]
    }
    return {**_props(), **servers, **ways, "control_planes": UNKNOWN}


_MEMBERS = "NODE        ID    HOSTNAME    PEER URLS                CLIENT URLS              LEARNER"


def _members(*indices: int, learner: int = 0) -> str:
    rows = (
        f"10.0.0.11   1{i}    demo-cp-{i}   https://10.0.0.1{i}:2380   https://10.0.0.1{i}:2379   "
        f"{str(i == learner).lower()}"
        for i in indices
    )
    return "\n".join([_MEMBERS, *rows])


def _living(members: list[int], *silent: int) -> dict[str, str]:
    """Answers of a living cluster with these members of etcd, some of whose control planes are silent."""
    answers = _answers({i: None if i in silent else i in members for i in EMPTY})
    listed = {key: _members(*members) for key in answers if key.endswith("etcd members")}
    no_etcd = {
        f"10.0.0.1{i} etcd {what}": "error: rpc error: code = Unknown desc = no etcd"
        for i in EMPTY
        if i not in members
        for what in ("members", "status")
    }
    return {**answers, **listed, **no_etcd}


@pytest.fixture
def begun(monkeypatch: pytest.MonkeyPatch, talos: FakeTalos) -> None:
    """A process whose engine has replaced nothing yet, and a cluster that is well."""
    monkeypatch.setattr(bootstrap, "_begun", {})
    monkeypatch.setattr(bootstrap, "QUORUM_PATIENCE", 0)
    monkeypatch.setattr(bootstrap, "server_id", lambda _cluster, _name: 7)
    talos.answer(_living([1, 2, 3]))


@pytest.mark.usefixtures("begun")
@pytest.mark.parametrize(
    ("members", "silent"),
    [([1, 2, 3], [2]), ([1, 2, 3], []), ([1], [2, 3]), ([1, 3], [2]), ([1], [])],
    ids=["broken", "well", "never-joined", "removed", "new"],
)
def test_a_control_plane_that_etcd_can_spare_may_be_replaced(
    talos: FakeTalos, members: list[int], silent: list[int]
) -> None:
    talos.answer(_living(members, *silent))

    assert not BootstrapProvider().diff("demo", {}, _asked_before_a_replacement(2)).changes


@pytest.mark.usefixtures("begun")
@pytest.mark.parametrize(
    ("members", "silent"),
    [([1, 2, 3], [3]), ([1, 2, 3], [1, 2]), ([1, 2], []), ([2], [])],
    ids=["another-is-down", "the-quorum-is-lost", "it-is-half-of-etcd", "it-is-all-of-etcd"],
)
def test_a_control_plane_that_etcd_cannot_spare_is_not_replaced(
    talos: FakeTalos, members: list[int], silent: list[int]
) -> None:
    talos.answer(_living(members, *silent))

    with pytest.raises(OxideError, match=r"demo-cp-2 cannot be replaced.*was not touched"):
        BootstrapProvider().diff("demo", {}, _asked_before_a_replacement(2))


@pytest.mark.usefixtures("begun")
def test_a_learner_that_never_got_a_vote_may_be_replaced(talos: FakeTalos) -> None:
    talos.answer({**_living([1, 2], 2), "10.0.0.11 etcd members": _members(1, 2, learner=2)})

    assert not BootstrapProvider().diff("demo", {}, _asked_before_a_replacement(2)).changes


@pytest.mark.usefixtures("begun")
def test_a_server_that_is_gone_already_is_no_replacement(
    talos: FakeTalos, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The engine asks for it again while its successor could not be made, whatever has become of the others."""
    talos.answer(_living([1, 2, 3], 1, 2, 3))
    monkeypatch.setattr(
        bootstrap, "server_id", lambda _cluster, name: None if name == "demo-cp-2" else 7
    )
    assert not BootstrapProvider().diff("demo", {}, _asked_before_a_replacement(2)).changes

    def refused(_cluster: str, _name: str) -> int:
        raise OxideError("Hetzner: unavailable")

    monkeypatch.setattr(bootstrap, "server_id", refused)
    with pytest.raises(OxideError, match="cannot be replaced"):
        BootstrapProvider().diff("demo", {}, _asked_before_a_replacement(2))


@pytest.mark.usefixtures("begun")
def test_a_record_without_addresses_asks_for_one_plain_run_first() -> None:
    asked = _asked_before_a_replacement(2)
    news = {key: value for key, value in asked.items() if not key.startswith("way_to_")}

    with pytest.raises(OxideError, match="run `pulumi up` once without --replace"):
        BootstrapProvider().diff("demo", {}, news)


@pytest.mark.usefixtures("begun")
def test_a_new_control_plane_has_no_vote_in_a_replacement(talos: FakeTalos) -> None:
    talos.answer(_living([1, 2]))
    news = _asked_before_a_replacement(1)
    news["way_to_demo-cp-3"] = {"private_address": "10.0.0.13", "public_address": UNKNOWN}

    with pytest.raises(OxideError, match="it needs 2 of its 2 members and would have 1"):
        BootstrapProvider().diff("demo", {}, news)


@pytest.mark.usefixtures("begun")
def test_a_second_control_plane_is_not_replaced_in_the_same_run() -> None:
    """Outputs are those of the creation: the cluster may have had one control plane then."""
    olds = {**_props(), "control_planes": _props()["control_planes"][:1]}
    provider = BootstrapProvider()
    assert not provider.diff("demo", olds, _asked_before_a_replacement(1)).changes
    # The engine asks once for each thing that goes with the same server.
    assert not provider.diff("demo", olds, _asked_before_a_replacement(1)).changes

    with pytest.raises(OxideError, match=r"-cp-1, \S+-cp-3 would be replaced in one run"):
        provider.diff("demo", olds, _asked_before_a_replacement(3))


@pytest.mark.usefixtures("begun")
def test_the_only_control_plane_is_not_replaced_at_all() -> None:
    name = _props()["control_planes"][0]["name"]
    news = {**_props(), f"server_of_{name}": UNKNOWN, "control_planes": UNKNOWN}

    with pytest.raises(OxideError, match="'All control planes are lost'"):
        BootstrapProvider().diff("demo", _props(), news)


@pytest.mark.usefixtures("begun")
def test_servers_that_are_made_anew_because_they_were_lost_are_no_replacement() -> None:
    """In the preview their ids are unknown, too, but the engine deletes nothing."""
    news = {**_props(), **_asked_before_a_replacement(2, 3)}
    news["control_planes"] = [{**node, "server_id": UNKNOWN} for node in _props()["control_planes"]]
    assert not BootstrapProvider().diff("demo", _props(), news).changes


@pytest.mark.usefixtures("begun")
def test_another_address_is_no_replacement() -> None:
    assert not BootstrapProvider().diff("demo", _props(), _asked_before_a_replacement()).changes
