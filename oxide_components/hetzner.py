"""What Oxide knows of Hetzner Cloud without asking it: limits, locations and server types."""

from __future__ import annotations

import re
from typing import Final, Literal

Architecture = Literal["x86", "arm"]
"""Architecture of a server and of the image that it boots, in Hetzner's words."""

MAX_SERVERS_PER_NETWORK: Final = 100
"""Servers that one network takes."""

MAX_PLACEMENT_GROUPS: Final = 50
"""Placement groups of one project; each holds ten servers."""

MAX_SOURCES_PER_RULE: Final = 100
"""Source ranges of one firewall rule."""

MAX_RULES_PER_FIREWALL: Final = 50
"""Rules of one firewall."""

SERVICE_LABEL: Final = "hcloud-ccm/service-uid"
"""Label of load balancers that the cloud controller has made (LabelServiceUID in internal/hcops of its source)."""

ZONES: Final[dict[str, str]] = {
    "nbg1": "eu-central",
    "fsn1": "eu-central",
    "hel1": "eu-central",
    "ash": "us-east",
    "hil": "us-west",
    "sin": "ap-southeast",
}
"""Network zone of each location. A network, and so a cluster, lives in one zone."""

EUROPEAN_ZONE: Final = "eu-central"

_SERVER_TYPE: Final = re.compile(r"(cx|cpx|cax|ccx)[1-9][0-9]")
_EUROPEAN_TYPES: Final = re.compile(r"(cx|cax)[0-9]+")

RETIRED_SERVER_TYPES: Final[dict[str, str]] = {
    "cx11": "cx23",
    "cx21": "cx23",
    "cx31": "cx33",
    "cx41": "cx43",
    "cx51": "cx53",
    "ccx11": "ccx13",
    "ccx12": "ccx13",
    "ccx21": "ccx23",
    "ccx22": "ccx23",
    "ccx31": "ccx33",
    "ccx32": "ccx33",
    "ccx41": "ccx43",
    "ccx42": "ccx43",
    "ccx51": "ccx53",
    "ccx52": "ccx53",
    "ccx62": "ccx63",
}
"""Types that can no longer be ordered, with the nearest one that can."""

OUTGOING_SERVER_TYPES: Final[dict[str, str]] = {
    "cx22": "cx23",
    "cx32": "cx33",
    "cx42": "cx43",
    "cx52": "cx53",
}
"""Types that run on but may be refused for new servers, with their successors."""


def server_type_architecture(server_type: str) -> Architecture:
    """Architecture of a server type: `cax` types are Arm, all others x86."""
    return "arm" if server_type.startswith("cax") else "x86"


def is_server_type(text: str) -> bool:
    """Whether a text has the form of a server type, such as cx33 or ccx13."""
    return _SERVER_TYPE.fullmatch(text) is not None


def is_european_only(server_type: str) -> bool:
    """Whether a server type is offered in the European locations only."""
    return _EUROPEAN_TYPES.fullmatch(server_type) is not None
