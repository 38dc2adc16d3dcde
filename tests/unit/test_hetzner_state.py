"""How the Hetzner emulator keeps its objects."""

import asyncio
import stat
from pathlib import Path

import pytest

from lab.hetzner.errors import ApiError
from lab.hetzner.state_file import StateFile, write_private
from lab.hetzner.store import Store


def test_ids_are_not_used_again_even_after_a_restart() -> None:
    store = Store()
    first = store.add("server", {"name": "a"})
    assert first["id"] == 1001
    store.remove("server", first["id"])
    again = Store()
    again.load(store.dump())
    assert again.add("server", {"name": "b"})["id"] == 1002


def test_a_name_is_taken_for_others_only() -> None:
    store = Store()
    key = store.add("network", {"name": "a"})["id"]
    store.require_free_name("network", "a", but=key)
    store.require_free_name("firewall", "a")
    with pytest.raises(ApiError, match="already used"):
        store.require_free_name("network", "a")


def test_an_object_is_found_by_its_name_before_its_id() -> None:
    store = Store()
    plain = store.add("ssh_key", {"name": "me"})
    odd = store.add("ssh_key", {"name": str(plain["id"])})
    assert store.named("ssh_key", str(plain["id"])) is odd
    assert store.named("ssh_key", str(odd["id"])) is odd
    assert store.named("ssh_key", "nobody") is None


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"next": 5, "counters": {}}'])
def test_a_damaged_state_is_refused_with_a_reason(text: str) -> None:
    with pytest.raises(ValueError, match=r"\S"):
        Store().load(text)


def test_the_file_is_the_owner_s_only_and_replaced_as_a_whole(tmp_path: Path) -> None:
    path = tmp_path / "new" / "state.json"
    write_private(path, "old")
    path.chmod(0o644)
    write_private(path, "new")
    assert path.read_text() == "new"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [entry.name for entry in path.parent.iterdir()] == ["state.json"]


def test_many_changes_share_a_write_and_none_is_lost(tmp_path: Path) -> None:
    renders = []

    async def scenario() -> None:
        value = 0

        def render() -> str:
            renders.append(value)
            return str(value)

        file = StateFile(tmp_path / "state", render)

        async def change() -> None:
            nonlocal value
            value += 1
            seen = value
            await file.flush()
            assert int((tmp_path / "state").read_text()) >= seen

        await asyncio.gather(*(change() for _ in range(50)))

    asyncio.run(scenario())
    assert renders[-1] == 50
    assert len(renders) < 10
