"""The client of the Kubernetes API: which server of several is asked, and whose answer counts."""

from collections.abc import Mapping
from typing import Any

import pytest

from oxide_components.kubernetes_api import ApiUnavailableError, KubernetesApi

_Answer = tuple[int, bytes] | OSError


class _Api(KubernetesApi):
    """The real client; servers answer what they are told to."""

    def __init__(self, answers: Mapping[str, _Answer]) -> None:
        self.servers = list(answers)
        self.asked: list[str] = []
        self._answers = answers

    def request_to(self, server: str, *_arguments: Any, **_options: Any) -> tuple[int, bytes]:
        self.asked.append(server)
        answer = self._answers[server]
        if isinstance(answer, OSError):
            raise answer
        return answer


def test_a_server_that_fails_by_itself_hands_the_request_to_the_next() -> None:
    api = _Api({"one": (500, b"etcdserver: leader changed"), "two": (200, b"{}")})

    assert api.request("GET", "/api") == (200, b"{}")


@pytest.mark.parametrize("refusal", [404, 409, 429])
def test_a_refusal_is_an_answer(refusal: int) -> None:
    api = _Api({"one": (refusal, b""), "two": (200, b"{}")})

    assert api.request("GET", "/api") == (refusal, b"")
    assert api.asked == ["one"]


def test_an_error_of_every_server_that_answers_is_the_answer() -> None:
    api = _Api({"one": (500, b"why"), "two": ConnectionRefusedError("refused")})

    assert api.request("GET", "/api") == (500, b"why")


def test_servers_that_do_not_answer_are_named_with_their_reasons() -> None:
    api = _Api({"one": ConnectionRefusedError("refused"), "two": TimeoutError("timed out")})

    with pytest.raises(ApiUnavailableError, match=r"one: .*; two: "):
        api.request("GET", "/api")
