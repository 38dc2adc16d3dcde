"""Another Talos version, or another schematic, for a living node."""

import yaml

from . import etcd_snapshot
from .errors import OxideError
from .rollout import STEP_TIMEOUT, Site
from .talosctl import TalosError
from .versions import installer_image, talosctl_problem


def ensure(here: Site, version: str, schematic: str | None) -> None:
    """
    Make the node run a Talos version; nothing to do is the common case.

    Args:
        version: Wanted version, such as v1.13.9.
        schematic: Wanted schematic of the Image Factory. None leaves what the node was made with.

    Raises:
        OxideError: The node keeps its version, or has not come back.
    """
    running = here.reported_version()
    if running is None:
        here.wait_answer()
        running = here.machine.version()
    if running == version and (schematic is None or schematic == _schematic(here)):
        return
    if problem := talosctl_problem(here.talosctl.client_version(), version):
        raise OxideError(problem)
    if here.is_control_plane and etcd_snapshot.is_due(here):
        # Not in the middle of an election or of somebody's failure.
        here.wait_before(goes_down=True)
        etcd_snapshot.take_once(here)
    here.take_out()
    before = here.last_boot()
    here.say(f"installs Talos {version} over {running}")
    try:
        here.machine.run(
            "upgrade",
            f"--image={installer_image(schematic or here.props['schematic_id'], version)}",
            # Talos' own drain goes through an address that only nodes reach, and only after it has installed.
            "--drain=false",
            "--wait=false",
            timeout=STEP_TIMEOUT,
        )
    except TalosError as error:
        if not here.machine.is_lost_answer(error):
            here.put_back()
            raise OxideError(f"{here.name} keeps Talos {running}: {error}") from None
    here.say("reboots")
    here.wait_booted(before)
    now = here.machine.version()
    if now != version or (schematic is not None and schematic != _schematic(here)):
        here.finish()
        raise OxideError(
            f"{here.name} did not boot Talos {version} and has gone back to {now} by itself "
            f"(`talosctl -n {here.props['private_address']} dmesg` may tell why)"
        )


def _schematic(here: Site) -> str:
    """Schematic that the node's image was made from; empty for one that was not made by the Image Factory."""
    answer = here.machine.ask("get", "extensions", "-o", "yaml")
    try:
        documents = list(yaml.safe_load_all(answer))
    except yaml.YAMLError:
        raise OxideError(f"{here.name} has not answered with its extensions") from None
    for document in documents:
        metadata = ((document or {}).get("spec") or {}).get("metadata") or {}
        if metadata.get("name") == "schematic":
            return str(metadata.get("version", ""))
    return ""
