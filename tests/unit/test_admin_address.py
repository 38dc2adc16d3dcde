"""Detection of the operator's own address."""

import pytest

from oxide_components.admin_address import detect_admin_cidrs
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


def test_one_family_is_enough() -> None:
    assert detect_admin_cidrs(_answers("93.184.216.34", None)) == ["93.184.216.34/32"]


@pytest.mark.parametrize("answer", [None, "<html>", "10.0.0.1", ""])
def test_no_usable_answer_is_an_error_that_names_the_setting(answer: str | None) -> None:
    with pytest.raises(OxideError, match="adminCidrs"):
        detect_admin_cidrs(_answers(answer, None))
