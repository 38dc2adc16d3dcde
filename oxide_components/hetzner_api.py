"""Hetzner's API for what the provider would do without regard for the cluster."""

import os

from hcloud import Client

from .dynamic_provider import stack_setting
from .errors import OxideError


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
    return Client(token=token, api_endpoint=endpoint) if endpoint else Client(token=token)
