"""Detection of the operator's own address."""

import http.client

import pytest

from oxide_components.admin_address import detect_admin_cidrs, stranger_address
from oxide_components.errors import OxideError


def _answers(ipv4: str | None, ipv6: str | None):  # type: ignore[no-untyped-def]
    def fetch(url: str) -> str:
        answer = ipv4 if "ipv4" in url else ipv6
        if answer is None:
            raise TimeoutError("timed out")
        return answer

    return fetch


def test_ipv4_is_one_address_and_ipv6_its_site() -> None:
    assert detect_admin_cidrs(_answers("93.184.216.34\n", "2606:2800:220:1::5\n")) == [
        "93.184.216.34/32",
        "2606:2800:220:1::/64",
    ]


def test_ipv4_is_enough() -> None:
    assert detect_admin_cidrs(_answers("93.184.216.34", None)) == ["93.184.216.34/32"]


def test_ipv6_alone_would_lock_the_operator_out() -> None:
    with pytest.raises(OxideError, match="IPv4"):
        detect_admin_cidrs(_answers(None, "2606:2800:220:1::5"))


def test_a_proxy_that_speaks_nonsense_is_an_error_like_any_other() -> None:
    def fetch(_url: str) -> str:
        raise http.client.BadStatusLine("<html>")

    with pytest.raises(OxideError, match="adminCidrs"):
        detect_admin_cidrs(fetch)


@pytest.mark.parametrize(
    ("cidrs", "stranger"),
    [
        (["93.184.216.34/32"], None),
        (["2606:2800:220:1::/64", "93.184.0.0/16"], None),
        (["192.0.2.1/32"], "93.184.216.34"),
    ],
)
def test_an_address_that_is_not_admitted_is_told(cidrs: list[str], stranger: str | None) -> None:
    assert stranger_address(cidrs, _answers("93.184.216.34", None)) == stranger


def test_an_unknown_address_is_no_warning() -> None:
    assert stranger_address(["192.0.2.1/32"], _answers(None, None)) is None


@pytest.mark.parametrize("answer", [None, "<html>", "10.0.0.1", ""])
def test_no_usable_answer_is_an_error_that_names_the_setting(answer: str | None) -> None:
    with pytest.raises(OxideError, match="adminCidrs"):
        detect_admin_cidrs(_answers(answer, None))
