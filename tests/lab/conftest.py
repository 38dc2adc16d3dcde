"""A lab for the tests: the real engine and Kubernetes against the emulated cloud, apart from the user's own lab."""

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lab.instance import Lab

from .stacks import Stack

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """A running lab of its own. LAB_KEEP=1 leaves its directory for a look at the logs."""
    directory = tmp_path_factory.mktemp("lab")
    lab = Lab(directory / "state")
    try:
        lab.start()
        yield lab
    finally:
        lab.stop()
        if not os.environ.get("LAB_KEEP"):
            shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture(scope="session")
def new_stack(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Stack]:
    """Makes stacks of the Oxide program, each in a project directory of its own."""

    def make(name: str, **settings: object) -> Stack:
        project = tmp_path_factory.mktemp(f"project-{name}")
        for file in ("Pulumi.yaml", "__main__.py", "requirements.txt"):
            shutil.copy(ROOT / file, project / file)
        for folder in ("oxide_components", "lab", ".venv"):
            (project / folder).symlink_to(ROOT / folder)
        stack = Stack(lab, project, name)
        stack.create(
            {
                "clusterName": name,
                "adminCidrs[0]": "127.0.0.0/8",
                "deletionProtection": "false",
                "ciliumChart": "./lab/charts/cilium",
                **settings,
            }
        )
        return stack

    return make
