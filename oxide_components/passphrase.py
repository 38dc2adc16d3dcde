"""A random passphrase that is made once and never changes."""

import secrets
from typing import Any

import pulumi
from pulumi.dynamic import CreateResult, Resource

from .dynamic_provider import LifecycleProvider

_BYTES = 32
"""As many random bytes as an AES-256 key has."""


class PassphraseProvider(LifecycleProvider):
    """Draws the passphrase when the resource is made; another one would lose what the first has encrypted."""

    def create(self, props: dict[str, Any]) -> CreateResult:
        """Draw a passphrase."""
        return CreateResult("passphrase", {**props, "value": secrets.token_urlsafe(_BYTES)})


class Passphrase(Resource, module="oxide", name="Passphrase"):
    """Text of 43 characters, kept in the state as a secret."""

    value: pulumi.Output[str]
    """The passphrase (secret)."""

    def __init__(self, name: str, opts: pulumi.ResourceOptions | None = None) -> None:
        hidden = pulumi.ResourceOptions(additional_secret_outputs=["value"])
        super().__init__(
            PassphraseProvider(),
            name,
            {"value": None},
            pulumi.ResourceOptions.merge(opts, hidden),
        )
