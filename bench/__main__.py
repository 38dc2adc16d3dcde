"""`python -m bench [NAME ...]`: run the named measurements, or all."""

import shutil
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

from . import hundred, upgrade

MEASUREMENTS: Mapping[str, Callable[[Path], str]] = {
    "hundred": hundred.measure,
    "upgrade": upgrade.measure,
}


def main(names: list[str]) -> int:
    """Print a line per measurement."""
    if unknown := [name for name in names if name not in MEASUREMENTS]:
        print(
            f"no measurement {', '.join(unknown)}; there are: {', '.join(MEASUREMENTS)}",
            file=sys.stderr,
        )
        return 2
    for name in names or MEASUREMENTS:
        directory = Path(tempfile.mkdtemp(prefix="oxide-bench-"))
        try:
            print(f"{name}: {MEASUREMENTS[name](directory)}", flush=True)
        finally:
            shutil.rmtree(directory, ignore_errors=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
