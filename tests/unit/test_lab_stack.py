"""The lab's stack keeps the user's settings; its nodes are shown as a short table."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from lab import nodes_table, stack


@pytest.fixture
def config_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    file = tmp_path / "Pulumi.lab.yaml"
    monkeypatch.setattr(stack, "_CONFIG_FILE", file)
    return file


class RecordingLab:
    """Stands for a lab whose Pulumi only notes what it is asked."""

    endpoint = "http://127.0.0.1:20160/v1"
    token = "t" * 64

    def __init__(self, state_dir: Path) -> None:
        self.state_dir = state_dir
        self.asked: list[tuple[str, ...]] = []

    def pulumi(self, *arguments: str) -> None:
        self.asked.append(arguments)


def configured(lab: RecordingLab) -> dict[str, str]:
    """Setting -> value of the last `pulumi config set-all`; empty when there was none."""
    asked = [arguments for arguments in lab.asked if arguments[:2] == ("config", "set-all")]
    values = [one.split("=", 1)[1] for one in asked[-1] if "=" in one] if asked else []
    return dict(value.split("=", 1) for value in values)


def test_a_new_stack_gets_the_labs_settings(config_file: Path, tmp_path: Path) -> None:
    lab: Any = RecordingLab(tmp_path)

    stack.select(lab)

    found = configured(lab)
    assert (found["controlPlanes"], found["workers"]) == ("3", "2")
    assert found["hcloud:endpoint"] == lab.endpoint
    assert f"--secret=hcloud:token={lab.token}" in lab.asked[-1]


def test_what_the_user_has_set_stays(config_file: Path, tmp_path: Path) -> None:
    settings = {"oxide:workers": 5, "oxide:adminCidrs": ["127.0.0.1/32"]}
    config_file.write_text(yaml.safe_dump({"config": settings}))
    lab: Any = RecordingLab(tmp_path)

    stack.select(lab)

    assert {"workers", "adminCidrs[0]"}.isdisjoint(configured(lab))
    assert configured(lab)["clusterName"] == "lab"


def test_settings_encrypted_for_another_lab_are_dropped(config_file: Path, tmp_path: Path) -> None:
    settings = {"oxide:workers": 5, "hcloud:token": {"secure": "v1:abc"}}
    config_file.write_text(yaml.safe_dump({"encryptionsalt": "v1:x", "config": settings}))
    lab: Any = RecordingLab(tmp_path)

    stack.select(lab)

    assert yaml.safe_load(config_file.read_text()) == {"config": {"oxide:workers": 5}}
    assert "hcloud:token" in configured(lab)


def node(name: str, *, ready: bool, control: bool = False, cordoned: bool = False) -> Any:
    return {
        "metadata": {
            "name": name,
            "labels": {"node-role.kubernetes.io/control-plane": ""} if control else {},
        },
        "spec": {"unschedulable": True} if cordoned else {},
        "status": {
            "nodeInfo": {"kubeletVersion": "v1.35.4", "osImage": "Talos (v1.13.9)"},
            "conditions": [{"type": "Ready", "status": str(ready)}],
            "addresses": [{"type": "InternalIP", "address": "10.0.0.11"}],
        },
    }


def test_nodes_are_listed_control_planes_first() -> None:
    nodes = [
        node("lab-worker-1", ready=False, cordoned=True),
        node("lab-cp-2", ready=True),
        node("lab-cp-1", ready=True, control=True),
    ]

    table = nodes_table.render(nodes, {"lab-cp-2": "control-plane"}).splitlines()

    assert [line.split()[:3] for line in table] == [
        ["NODE", "ROLE", "STATUS"],
        ["lab-cp-1", "control-plane", "Ready"],
        ["lab-cp-2", "control-plane", "Ready"],
        ["lab-worker-1", "worker", "NotReady,"],
    ]
    assert "NotReady, cordoned" in table[3]
