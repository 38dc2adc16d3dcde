"""A short table of a cluster's nodes."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping, Sequence
from typing import Any

from lab.errors import LabError
from lab.instance import Lab

_HEAD = ("NODE", "ROLE", "STATUS", "KUBERNETES", "OS", "ADDRESS")


def read(lab: Lab, roles: Mapping[str, str] | None = None) -> str:
    """Asks the cluster for its nodes and returns them as a table.

    Args:
        lab: the instance that the cluster lives in.
        roles: name -> role; default: as the nodes are labelled, which a new node is a bit late.

    Raises:
        LabError: the Kubernetes API does not answer.
    """
    try:
        result = subprocess.run(
            ["kubectl", "get", "nodes", "-o", "json", "--request-timeout=20s"],
            env=lab.env(),
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
    except subprocess.TimeoutExpired:
        raise LabError("the Kubernetes API did not answer within 60 s") from None
    if result.returncode != 0:
        reason = (result.stderr.strip().splitlines() or ["no answer"])[-1]
        raise LabError(f"kubectl get nodes failed: {reason}")
    return render(json.loads(result.stdout)["items"], roles or {})


def render(nodes: Sequence[Mapping[str, Any]], roles: Mapping[str, str]) -> str:
    """Lays out Node objects as columns."""
    rows = sorted((_row(node, roles) for node in nodes), key=lambda row: (row[1], row[0]))
    widths = [max(len(row[i]) for row in (_HEAD, *rows)) for i in range(len(_HEAD))]
    lines = (
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in (_HEAD, *rows)
    )
    return "\n".join(lines)


def _row(node: Mapping[str, Any], roles: Mapping[str, str]) -> tuple[str, ...]:
    labels = node["metadata"].get("labels", {})
    info = node["status"].get("nodeInfo", {})
    conditions = {one["type"]: one["status"] for one in node["status"].get("conditions", [])}
    addresses = {one["type"]: one["address"] for one in node["status"].get("addresses", [])}
    status = "Ready" if conditions.get("Ready") == "True" else "NotReady"
    if node["spec"].get("unschedulable"):
        status += ", cordoned"
    name = node["metadata"]["name"]
    labelled = "node-role.kubernetes.io/control-plane" in labels
    return (
        name,
        roles.get(name) or ("control-plane" if labelled else "worker"),
        status,
        info.get("kubeletVersion", ""),
        info.get("osImage", ""),
        addresses.get("InternalIP", ""),
    )
