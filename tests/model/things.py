"""What the model's world consists of."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

BEGIN = datetime(2026, 1, 1, tzinfo=UTC)
"""When the model's clock starts."""

FIRST_TALOS = "v1.13.7"
"""What the snapshot holds that servers are made from."""


@dataclass(kw_only=True)
class Server:
    """A server and the Talos node on it."""

    id: str
    name: str
    labels: dict[str, str]
    type: str
    private: str
    public: str
    placement_group: float
    user_data: str
    config: str | None
    made_at: float
    up_at: float
    on: bool = True
    dead: bool = False
    etcd_data: bool = False
    etcd_left: bool = False
    registered: bool = False
    boot: int = 1
    config_version: int = 1
    talos: str = FIRST_TALOS
    staged: str | None = None
    waits_to_serve: float | None = None

    @property
    def created(self) -> datetime:
        """When Hetzner has made it."""
        return moment(self.made_at)

    @property
    def boot_id(self) -> str:
        """Different after every boot."""
        return f"boot-{self.id}-{self.boot}"

    @property
    def is_control_plane(self) -> bool:
        """By its machine config, so never after a reset."""
        return self.config is not None and _machine_type(self.config) == "controlplane"


@dataclass(kw_only=True)
class Member:
    """A member of etcd."""

    id: str
    name: str
    address: str
    server: str
    votes_at: float


@dataclass(kw_only=True)
class Node:
    """A Node object; `pods` are those that a drain has to move, each with the time at which it is gone."""

    name: str
    address: str
    made_at: float
    labels: dict[str, str] = field(default_factory=dict)
    taints: list[dict[str, str]] = field(default_factory=list)
    annotations: dict[str, str] = field(default_factory=dict)
    of_talos: tuple[set[str], set[str]] = field(default_factory=lambda: (set(), set()))
    cordoned: bool = False
    boot_id: str = ""
    kubelet: str = ""
    talos: str = ""
    ready_at: float = 0.0
    last_sign: float = 0.0
    pods: dict[str, float | None] = field(default_factory=dict)


def moment(seconds: float) -> datetime:
    """A time of the model's clock; APIs leave fractions of a second out."""
    return BEGIN + timedelta(seconds=int(seconds))


def _machine_type(config: str) -> str:
    # A whole parse at every look would be most of a test's time.
    return "controlplane" if "type: controlplane" in config else "worker"
