"""What is shown of Talos' own words about a machine config."""

import asyncio

import pulumi
import pytest

from oxide_components.errors import without_values
from oxide_components.run_errors import told_if_failed

UNKNOWN = """1 error occurred:
\t* unknown keys found during decoding:
machine:
    registries:
        config:
            ghcr.io:
                auth:
                    pasword: planted-value
    files:
        - content: planted-value
          pth: /planted-value
"""


def test_unknown_keys_are_named_without_their_values() -> None:
    assert without_values(UNKNOWN) == (
        "1 error occurred: * unknown keys found: machine.files.content, machine.files.pth, "
        "machine.registries.config.ghcr.io.auth.pasword"
    )


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("refused\ndiff: planted-value", "refused"),
        ("unknown keys found during decoding:\na: b: planted-value", "unknown keys found"),
        ("unknown keys found during decoding:\nplanted-value", "unknown keys found"),
        (
            "line 3: cannot unmarshal !!str `planted...` into bool",
            "line 3: cannot unmarshal !!str [secret] into bool",
        ),
        ("2 errors occurred:\n\t* one\n\t* two\n", "2 errors occurred: * one * two"),
    ],
)
def test_whatever_may_be_a_value_is_left_out(text: str, shown: str) -> None:
    assert without_values(text) == shown


def test_a_config_that_cannot_be_generated_is_told_without_its_values() -> None:
    async def refused() -> str:
        raise RuntimeError(UNKNOWN)

    async def shown() -> str:
        failed: pulumi.Output[str] = pulumi.Output.from_input(refused())
        with pytest.raises(pulumi.RunError) as caught:
            await told_if_failed(failed, "Talos refuses it", "correct it").future()
        return str(caught.value)

    text = asyncio.run(shown())

    assert text.startswith("Talos refuses it: 1 error occurred: * unknown keys found: machine.")
    assert text.endswith("; correct it")
    assert "planted" not in text
