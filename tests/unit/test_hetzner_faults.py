"""Planned faults of the Hetzner emulator."""

import re

import pytest

from lab.hetzner.faults import Faults


def test_a_fault_is_used_up_after_its_count() -> None:
    faults = Faults()
    faults.plan({"kind": "error", "path": "^/servers$", "method": "post", "count": 2})
    hits = [faults.take("error", "POST", "/servers") is not None for _ in range(3)]
    assert hits == [True, True, False]
    assert faults.planned == []


def test_a_fault_without_an_end_stays_until_cleared() -> None:
    faults = Faults()
    faults.plan({"kind": "delay", "count": 0})
    assert all(faults.take("delay", "GET", "/x") for _ in range(5))
    faults.clear()
    assert faults.take("delay", "GET", "/x") is None


@pytest.mark.parametrize(
    ("method", "path", "body", "hit"),
    [
        ("POST", "/servers", {"server_type": "cx33", "location": "nbg1"}, True),
        ("POST", "/servers", {"server_type": "cx23", "location": "nbg1"}, False),
        ("POST", "/servers", {"server_type": "cx33", "location": "fsn1"}, False),
        ("POST", "/networks", {"server_type": "cx33", "location": "nbg1"}, False),
        ("GET", "/servers", {}, False),
    ],
)
def test_missing_stock_is_limited_to_a_type_and_a_place(
    method: str, path: str, body: dict[str, str], hit: bool
) -> None:
    faults = Faults()
    faults.plan({"kind": "no_stock", "server_type": "cx33", "location": "nbg1"})
    assert (faults.take("no_stock", method, path, body) is not None) is hit


@pytest.mark.parametrize("fields", [{"kind": "x"}, {"kind": "error", "what": 1}, {}])
def test_nonsense_is_refused(fields: dict[str, object]) -> None:
    with pytest.raises((ValueError, TypeError)):
        Faults().plan(fields)
    with pytest.raises(re.error):
        Faults().plan({"kind": "error", "path": "("})
