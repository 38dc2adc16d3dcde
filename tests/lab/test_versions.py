"""Steps of Kubernetes before Talos' own judge: the path check with which `talosctl upgrade-k8s` begins."""

import itertools
import os
import subprocess
from pathlib import Path

import pytest

from lab import paths
from lab.tools.build import GO_ENVIRONMENT
from oxide_components.versions import TALOS_KUBERNETES, kubernetes_step_problem, parse

TALOSCTL = paths.BIN / "talosctl"
NOBODY = "127.0.0.1:1"
"""Where no Talos answers, so that nothing but the path is checked."""


@pytest.fixture(scope="module")
def talosconfig(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Credentials of a cluster that does not exist."""
    directory = tmp_path_factory.mktemp("talosconfig")
    done = _talosctl("gen", "config", "demo", f"https://{NOBODY}", f"--output-dir={directory}")
    assert done.returncode == 0, done.stderr
    return directory / "talosconfig"


def test_the_recorded_windows_are_those_of_talos_own_library() -> None:
    """tests/unit/test_versions.py compares the same record with the table that the program uses."""
    done = subprocess.run(
        ["go", "test", "./internal/compat"],
        cwd=paths.ROOT / "lab" / "node",
        env={**os.environ, **GO_ENVIRONMENT},
        capture_output=True,
        text=True,
        check=False,
        timeout=590,
    )

    assert done.returncode == 0, done.stdout + done.stderr


def test_talosctl_takes_the_same_steps_as_oxide(talosconfig: Path) -> None:
    client = parse(_talosctl("version", "--client", "--short").stdout.split("v")[-1].strip())
    assert client is not None
    minors = TALOS_KUBERNETES[client.series]
    disagreements = []
    for here, there in itertools.product(minors, repeat=2):
        current, wanted = f"{here}.2", f"{there}.1"
        done = _talosctl(
            f"--talosconfig={talosconfig}",
            f"--nodes={NOBODY}",
            f"--endpoints={NOBODY}",
            "upgrade-k8s",
            f"--from={current}",
            f"--to={wanted}",
        )
        refused = "unsupported upgrade path" in done.stderr
        assert refused or "connection refused" in done.stderr, done.stderr
        if refused != (kubernetes_step_problem(current, wanted) is not None):
            disagreements.append(f"{current} -> {wanted}: {done.stderr.strip()}")

    assert not disagreements


def _talosctl(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [TALOSCTL, *arguments], capture_output=True, text=True, check=False, timeout=120
    )
