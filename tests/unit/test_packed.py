"""Texts that are recorded many times."""

from hypothesis import given
from hypothesis import strategies as st

from oxide_components.packed import pack, unpack

KUBECONFIG = (
    "certificate-authority-data: LS0tLS1CRUdJTiBDRVJUSUZJQ0FURS0tLS0tCk1JSUJpekNDQVRHZ0F3SUI\n" * 10
)


@given(st.text())
def test_a_packed_text_comes_back(text: str) -> None:
    assert unpack(pack(text)) == text


def test_a_text_that_an_older_release_has_recorded_is_taken_as_it_is() -> None:
    assert unpack(KUBECONFIG) == KUBECONFIG


def test_the_same_text_is_always_packed_alike_and_shorter() -> None:
    assert pack(KUBECONFIG) == pack(KUBECONFIG)
    assert len(pack(KUBECONFIG)) < len(KUBECONFIG) / 2
