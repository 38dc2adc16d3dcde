"""Machine configs before Talos' own judge: `talosctl validate --mode cloud`."""

import os
import subprocess
from pathlib import Path

import pytest

from lab import paths

GOLDEN = Path(__file__).parents[1] / "golden"


@pytest.fixture(scope="module", params=["", "private-"], ids=["public", "private"])
def generated(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Configs that talosctl generates with the golden documents as patches."""
    directory = tmp_path_factory.mktemp("configs")
    _talosctl(
        "gen",
        "config",
        "demo",
        "https://api.demo.internal:6443",
        f"--output-dir={directory}",
        "--talos-version=v1.13",
        "--kubernetes-version=1.35.4",
        "--with-docs=false",
        "--with-examples=false",
        f"--config-patch-control-plane=@{GOLDEN / f'machine-config-{request.param}control-plane.yaml'}",
        f"--config-patch-worker=@{GOLDEN / f'machine-config-{request.param}worker.yaml'}",
    )
    return directory


@pytest.mark.parametrize("role", ["controlplane", "worker"])
def test_talos_accepts_the_documents_of_every_role(generated: Path, role: str) -> None:
    file = generated / f"{role}.yaml"

    assert "is valid for cloud mode" in _talosctl("validate", "--mode=cloud", f"--config={file}")


def test_the_judge_refuses_a_broken_document(generated: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken.yaml"
    broken.write_text((generated / "worker.yaml").read_text() + "\n---\nkind: NoSuchDocument\n")

    with pytest.raises(AssertionError, match="NoSuchDocument"):
        _talosctl("validate", "--mode=cloud", f"--config={broken}")


def _talosctl(*arguments: str) -> str:
    environment = {**os.environ, "PATH": f"{paths.BIN}{os.pathsep}{os.environ['PATH']}"}
    done = subprocess.run(
        ["talosctl", *arguments], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr
