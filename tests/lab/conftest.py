"""A lab for the tests: the real engine and Kubernetes against the emulated cloud, apart from the user's own lab."""

import os
import shutil
from collections.abc import Callable, Iterator

import pytest

from lab.instance import Lab

from .stacks import Stack, make_stack


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
        return make_stack(lab, tmp_path_factory.mktemp(f"project-{name}"), name, **settings)

    return make
