"""Hetzner's API for what the provider would do without regard for the cluster."""

import os

from hcloud import APIException, Client
from hcloud.actions import ActionException
from requests import RequestException

from . import naming
from .dynamic_provider import stack_setting
from .errors import OxideError

_TIMEOUT = 30.0
"""Seconds that one request may take."""


def power(cluster_name: str, server_name: str, *, on: bool) -> bool:
    """
    Switch a server of the cluster on or off.

    Returns:
        Whether that was needed: there is such a server, and it was not so yet.

    Raises:
        OxideError: Hetzner refuses or does not answer.
    """
    try:
        server = client().servers.get_by_name(server_name)
        if server is None or server.labels.get(naming.LABEL_CLUSTER) != cluster_name:
            return False
        if on == (server.status != server.STATUS_OFF):
            return False
        (server.power_on() if on else server.power_off()).wait_until_finished()
    except (APIException, ActionException, RequestException) as error:
        raise OxideError(f"{server_name}: Hetzner: {error}") from None
    return True


def server_id(cluster_name: str, server_name: str) -> int | None:
    """
    Id of a server of the cluster; None if there is no such server.

    Raises:
        OxideError: Hetzner refuses or does not answer.
    """
    try:
        server = client().servers.get_by_name(server_name)
    except (APIException, RequestException) as error:
        raise OxideError(f"{server_name}: Hetzner: {error}") from None
    if server is None or server.labels.get(naming.LABEL_CLUSTER) != cluster_name:
        return None
    return int(server.id)


def client() -> Client:
    """
    Client with the stack's own token and endpoint, to be used inside a resource's provider.

    Raises:
        OxideError: There is no token.
    """
    # The environment counts only where the stack says nothing: another project's token would see nothing of ours.
    token = stack_setting("hcloud:token") or os.environ.get("HCLOUD_TOKEN")
    if not token:
        raise OxideError(
            "no Hetzner Cloud token: set it with `pulumi config set --secret hcloud:token`, or HCLOUD_TOKEN"
        )
    endpoint = stack_setting("hcloud:endpoint") or os.environ.get("HCLOUD_ENDPOINT")
    where = {"api_endpoint": endpoint} if endpoint else {}
    return Client(token=token, timeout=_TIMEOUT, **where)
