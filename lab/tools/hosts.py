"""Puts the lab's Python language host beside a Pulumi that has none."""

from __future__ import annotations

from lab import paths

_LAUNCHERS = {
    # The host itself runs in the checkout's virtualenv; programs get the one that they name.
    "pulumi-language-python": """#!/bin/sh
root=$(dirname "$(readlink -f "$0")")/../..
exec "$root/.venv/bin/python" -u "$root/lab/host/language.py" "$@"
""",
    "pulumi-resource-pulumi-python": """#!/bin/sh
root=$(dirname "$(readlink -f "$0")")/../..
venv=${PULUMI_RUNTIME_VIRTUALENV%/}
case $venv in
"") python=${PULUMI_PYTHON_CMD:-python3} ;;
/*) python=$venv/bin/python ;;
*) python=$PWD/$venv/bin/python ;;
esac
if [ -n "$venv" ]; then
    if [ ! -x "$python" ]; then
        echo "The 'virtualenv' option in Pulumi.yaml names $venv, which has no bin/python." >&2
        echo "Create it: python3 -m venv $venv && $venv/bin/python -m pip install -r requirements.txt" >&2
        exit 1
    fi
    PATH=$(dirname "$python"):$PATH
    export PATH
    unset PYTHONHOME
fi
exec "$python" -u "$root/lab/host/dynamic.py" "$@"
""",
}


def install() -> None:
    """Writes the launchers where `.lab/bin/pulumi` was built, removes them where it is a link.

    A Pulumi from PATH brings its own host, and the lab's would hide it.
    """
    linked = (paths.BIN / "pulumi").is_symlink()
    for name, text in _LAUNCHERS.items():
        file = paths.BIN / name
        if linked:
            file.unlink(missing_ok=True)
        elif not file.exists() or file.read_text() != text:
            file.write_text(text)
            file.chmod(0o755)
