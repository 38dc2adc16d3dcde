"""Another server type for a living node. The provider would power every server off hard, and all of them together."""

import time

from hcloud import APIException, Client
from hcloud.actions import ActionException, ActionFailedException
from hcloud.server_types import ServerType
from hcloud.servers import BoundServer
from requests import RequestException

from .dynamic_provider import log_warning
from .errors import OxideError
from .rollout import STEP_TIMEOUT, Site

SHUTDOWN_TIMEOUT = 180.0
"""Seconds that a node may take to shut down by itself before its power is cut."""


def ensure(here: Site, client: Client, server_id: str, wanted: str) -> None:
    """
    Make the server be of the wanted type and run; nothing to do is the common case.

    The disk keeps its size, so that the way back stays open.

    Raises:
        OxideError: Hetzner refuses, or the node does not come back. Where the type is not to be had, the server runs with the
            old one again.
    """
    try:
        server = client.servers.get_by_id(int(server_id))
        if server.server_type.name == wanted:
            if server.status == "off":
                _start(here, server, before="")
            return
        before = ""
        if server.status != "off":
            here.wait_answer()
            here.take_out()
            before = here.last_boot()
            _shut_down(here, server)
        here.say(f"{server.server_type.name} -> {wanted}")
        try:
            action = server.change_type(ServerType(name=wanted), upgrade_disk=False)
        except APIException:
            _go_on(here, server, before)
            raise
        try:
            # One poll in a second. Nothing can be done with a server that Hetzner works on for longer.
            action.wait_until_finished(max_retries=STEP_TIMEOUT)
        except ActionFailedException:
            _go_on(here, server, before)
            raise
        _start(here, server, before)
    except (APIException, ActionException, RequestException) as error:
        raise OxideError(f"{here.name}: Hetzner: {error}") from None


def _go_on(here: Site, server: BoundServer, before: str) -> None:
    """Put a server back whose change was refused: as it was, it is of use; the error tells the rest."""
    _start(here, server, before)
    here.finish()


def _shut_down(here: Site, server: BoundServer) -> None:
    here.say("shuts down")
    server.shutdown()
    end = time.monotonic() + SHUTDOWN_TIMEOUT
    while server.status != "off" and time.monotonic() < end:
        time.sleep(1)
        server.reload()
    if server.status != "off":
        log_warning(
            here.urn,
            f"{here.name} has not shut down within {SHUTDOWN_TIMEOUT:.0f} s; its power is cut",
        )
        server.power_off().wait_until_finished()


def _start(here: Site, server: BoundServer, before: str) -> None:
    # After a change of its type, Hetzner has started the server already.
    server.reload()
    if server.status == "off":
        here.say("starts")
        server.power_on().wait_until_finished()
    here.wait_booted(before)
