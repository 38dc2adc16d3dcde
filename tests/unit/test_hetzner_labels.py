"""Labels of the Hetzner emulator."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.hetzner.labels import parse_selector, problem_with_key, problem_with_value

LABELS = {"env": "prod", "role": "worker", "example.com/x": ""}
WORDS = st.text("abcxyz019", min_size=1, max_size=12)


@pytest.mark.parametrize(
    ("selector", "expected"),
    [
        ("env=prod", True),
        ("env==prod", True),
        ("env=dev", False),
        ("env!=dev", True),
        ("nope!=dev", True),
        ("env", True),
        ("!env", False),
        ("!nope", True),
        ("env in (dev, prod)", True),
        ("env in (dev)", False),
        ("env notin (dev,test)", True),
        ("nope notin (dev)", False),
        ("env=prod,role=worker", True),
        ("env in (dev,prod),!nope,role!=cp", True),
        ("env=prod,role=cp", False),
        ("example.com/x=", True),
        ("example.com/x", True),
    ],
)
def test_a_selector_selects_as_documented(selector: str, expected: bool) -> None:
    assert parse_selector(selector)(LABELS) is expected


@pytest.mark.parametrize("selector", ["", ",", "a=b=c", "a in b", "-x", "a,,b", "a=b c"])
def test_what_is_no_selector_is_refused(selector: str) -> None:
    with pytest.raises(ValueError, match="invalid label selector"):
        parse_selector(selector)


@given(st.dictionaries(WORDS, WORDS, min_size=1, max_size=5))
def test_labels_are_selected_by_the_equality_of_each_of_them(labels: dict[str, str]) -> None:
    selector = ",".join(f"{key}={value}" for key, value in labels.items())
    assert parse_selector(selector)(labels)
    missing = dict(list(labels.items())[1:])
    assert not parse_selector(selector)(missing)


@pytest.mark.parametrize("key", ["a", "a.b-c_d", "example.com/a", "A" * 63])
def test_good_keys_are_accepted(key: str) -> None:
    assert problem_with_key(key) is None


@pytest.mark.parametrize(
    "key", ["", "-a", "a-", "a b", "a" * 64, "/a", "a/", "Ex_ample/a", "hetzner.cloud/a"]
)
def test_bad_keys_are_named(key: str) -> None:
    assert key in (problem_with_key(key) or "")


def test_values_are_short_words_or_empty() -> None:
    assert problem_with_value("a", "") is None
    assert problem_with_value("a", "x" * 63) is None
    assert problem_with_value("a", "x" * 64)
    assert problem_with_value("a", "x/y")
    assert problem_with_value("a", 5)
