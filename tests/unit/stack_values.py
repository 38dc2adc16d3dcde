"""Raw stack values as the engine hands them to a program: texts as they are, everything else as JSON."""

import json
from typing import Any


def raw(values: dict[str, Any]) -> dict[str, str]:
    """Settings as Pulumi stores them."""
    return {
        key: value if isinstance(value, str) else json.dumps(value) for key, value in values.items()
    }


def pool(**keys: Any) -> dict[str, Any]:
    """One valid entry of workerPools, changed by `keys`; None removes a key."""
    entry = {"name": "extra", "count": 1, **keys}
    return {key: value for key, value in entry.items() if value is not None}
