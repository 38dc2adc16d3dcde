"""Where a Helm chart comes from, in a stack's configuration."""

from __future__ import annotations

import re
from typing import Final

from .config_reader import Reader

_REPOSITORY: Final = re.compile(r"https?://[^\s/]+\S*")


def read_chart_place(
    reader: Reader,
    *,
    chart: tuple[str, str],
    repository: tuple[str, str],
    official: str,
    example: str,
) -> str | None:
    """Repository that a chart comes from; None where the chart names its place itself.

    Args:
        chart: Path of the setting in messages, and its value: a name, a path or an oci:// reference.
        repository: The same of the repository; an empty value means the official one.
        official: Address of the official repository.
        example: Path of a chart, for messages.
    """
    (chart_path, chart_value), (repository_path, repository_value) = chart, repository
    if not chart_value.strip():
        reader.add(chart_path, chart_value, "is empty", "name a chart, or remove the key")
    elif "://" in chart_value and not chart_value.startswith("oci://"):
        reader.add(
            chart_path,
            chart_value,
            "is not a chart reference",
            f"use a chart name with {repository_path}, a path such as {example}, or oci://...",
        )
    elif "/" in chart_value:
        if repository_value:
            reader.add(
                repository_path,
                repository_value,
                f"is set although {chart_path} {chart_value} names the chart's place already",
                f"remove {repository_path}, or set {chart_path} to the chart's name",
            )
    elif repository_value and not _REPOSITORY.fullmatch(repository_value):
        reader.add(
            repository_path,
            repository_value,
            "is not the address of a Helm repository",
            f"use one like {official}, or put an oci:// reference into {chart_path}",
        )
    return None if "/" in chart_value else repository_value or official
