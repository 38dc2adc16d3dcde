"""What `oxide_components` exports: everything that a caller needs to write the arguments of what it exports."""

import sys
import typing
from collections.abc import Iterator
from typing import Any

import pulumi
import pytest

import oxide_components
from oxide_components import CiliumModes, cilium_values

HINTS = {"Output": pulumi.Output, "T": Any, "T_co": Any}
NOT_WRITTEN = {"RosterControlPlane"}
"""Types of what components give and nobody writes by hand."""

ARGS = [
    name
    for name in oxide_components.__all__
    if typing.is_typeddict(getattr(oxide_components, name))
]


def _own(hint: Any) -> Iterator[type]:
    """Classes of Oxide that a hint names."""
    if typing.is_typeddict(hint):
        yield hint
    for inner in typing.get_args(hint):
        yield from _own(inner)


@pytest.mark.parametrize("name", ARGS)
def test_the_types_of_exported_arguments_are_exported(name: str) -> None:
    hints = typing.get_type_hints(getattr(oxide_components, name), localns=HINTS)
    needed = {kind.__name__ for hint in hints.values() for kind in _own(hint)}

    assert needed <= {*oxide_components.__all__, *NOT_WRITTEN}


def test_no_exported_name_is_a_module_of_the_package() -> None:
    """Which of the two an import finds would hang on what was imported before."""
    modules = {name.removeprefix("oxide_components.") for name in sys.modules}

    assert modules.isdisjoint(oxide_components.__all__)
    assert oxide_components.__all__ == sorted(oxide_components.__all__)


def test_values_of_cilium_can_be_made_without_a_stack() -> None:
    values = cilium_values(
        control_plane_count=1,
        worker_count=0,
        network_cidr="10.0.0.0/21",
        pod_cidr="10.0.16.0/20",
        modes=CiliumModes(),
    )

    assert values["ipv4NativeRoutingCIDR"] == "10.0.16.0/20"
