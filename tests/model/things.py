"""What the model's world consists of."""

from dataclasses import dataclass, field

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
    labels: dict[str, str] = field(default_factory=dict)
    taints: list[dict[str, str]] = field(default_factory=list)
    annotations: dict[str, str] = field(default_factory=dict)
    of_talos: tuple[set[str], set[str]] = field(default_factory=lambda: (set(), set()))
    cordoned: bool = False
    boot_id: str = ""
    kubelet: str = ""
    ready_at: float = 0.0
    last_sign: float = 0.0
    pods: dict[str, float | None] = field(default_factory=dict)


def _machine_type(config: str) -> str:
    # A whole parse at every look would be most of a test's time.
    return "controlplane" if "type: controlplane" in config else "worker"
