"""Machine configs as user_data."""

import base64
import gzip
import random

import pytest

from oxide_components.errors import OxideError
from oxide_components.server import user_data


def test_a_short_config_goes_as_it_is() -> None:
    assert user_data("machine: {}") == "machine: {}"


def test_a_long_config_is_packed_and_unpacks_to_itself() -> None:
    config = "key: value\n" * 10_000

    packed = user_data(config)

    assert len(packed) <= 32 * 1024
    assert gzip.decompress(base64.b64decode(packed)).decode() == config
    assert user_data(config) == packed


def test_a_config_that_cannot_fit_is_refused_with_the_settings_to_shorten() -> None:
    noise = "".join(
        random.Random(1).choices(  # noqa: S311
            "abcdefghijklmnopqrstuvwxyz0123456789", k=80_000
        )
    )

    with pytest.raises(OxideError, match="configPatches"):
        user_data(noise)
