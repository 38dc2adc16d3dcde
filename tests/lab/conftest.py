"""A lab for the tests: the real engine and Kubernetes against the emulated cloud, apart from the user's own lab."""

import os
import shutil
from collections.abc import Callable, Iterator

import pytest

from lab.instance import Lab, running

from .stacks import Stack, make_stack


@pytest.fixture(scope="session")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """A running lab of its own. LAB_KEEP=1 leaves its directory for a look at the logs."""
    directory = tmp_path_factory.mktemp("lab")
    try:
        with running(directory / "state") as lab:
            yield lab
    finally:
        if not os.environ.get("LAB_KEEP"):
            shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture(scope="session")
def new_stack(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Stack]:
    """Makes stacks of the Oxide program, each in a project directory of its own."""

    def make(name: str, **settings: object) -> Stack:
        _claim(name, tmp_path_factory)
        return make_stack(lab, tmp_path_factory.mktemp(f"project-{name}"), name, **settings)

    return make


def _claim(name: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    """
    Fail where two test files use one name for a stack.

    Which files meet on a lab is decided anew in every run, so the clash would come and go. The names are kept for the whole run, over
    all of its processes.
    """
    names = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        names = names.parent
    names /= "stack-names"
    names.mkdir(exist_ok=True)
    user = os.environ["PYTEST_CURRENT_TEST"].split("::")[0]
    owner = names / name
    if not owner.exists():
        owner.write_text(user)
    assert owner.read_text() == user, f"{owner.read_text()} and {user} both name a stack {name!r}"
