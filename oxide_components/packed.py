"""Texts that are recorded many times, packed: Pulumi writes its whole state after every step, so that a long one slows every step down."""

import base64
import zlib

PACKED = "zlib:"
"""How packed texts begin."""


def pack(text: str) -> str:
    """The text, packed; the same text always gives the same result."""
    return PACKED + base64.b64encode(zlib.compress(text.encode(), level=9)).decode()


def unpack(text: str) -> str:
    """What was packed; a text that was not is returned as it is."""
    if not text.startswith(PACKED):
        return text
    return zlib.decompress(base64.b64decode(text.removeprefix(PACKED))).decode()
