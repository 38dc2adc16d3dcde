"""The key with which Cilium's IPsec encrypts, made once and again for every new number."""

import secrets
from typing import Any

import pulumi
from pulumi.dynamic import CreateResult, DiffResult, Resource, UpdateResult

from .dynamic_provider import LifecycleProvider

KEY_BYTES = 20
"""AES-128-GCM for ESP (RFC 4106): 16 bytes of key and 4 of salt."""

TAG_BITS = 128
"""Length of the integrity tag of that algorithm."""


def key_text(key_id: int) -> str:
    """
    A new key as Cilium reads it.

    Args:
        key_id: Number of the key, 1 to 15. The plus sign gives each pair of nodes a key of its own, derived from this one.
    """
    return f"{key_id}+ rfc4106(gcm(aes)) {secrets.token_hex(KEY_BYTES)} {TAG_BITS}"


class IpsecKeyProvider(LifecycleProvider):
    """Makes a key. It lives in the state, encrypted, and in the cluster's Secret."""

    def diff(self, _id: str, olds: dict[str, Any], news: dict[str, Any]) -> DiffResult:
        """Another number asks for another key."""
        return DiffResult(changes=int(olds["key_id"]) != int(news["key_id"]))

    def create(self, props: dict[str, Any]) -> CreateResult:
        """Make the first key."""
        return CreateResult("ipsec-key", _made(props))

    def update(self, _id: str, _olds: dict[str, Any], news: dict[str, Any]) -> UpdateResult:
        """Make the next key."""
        return UpdateResult(_made(news))


class IpsecKey(Resource, module="oxide", name="IpsecKey"):
    """
    One key.

    Args:
        key_id: Number of the key, 1 to 15.
    """

    keys: pulumi.Output[str]
    """The key as Cilium reads it (secret)."""

    def __init__(
        self, name: str, *, key_id: int, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        secret = pulumi.ResourceOptions(additional_secret_outputs=["keys"])
        super().__init__(
            IpsecKeyProvider(),
            name,
            {"key_id": key_id, "keys": None},
            pulumi.ResourceOptions.merge(opts, secret),
        )


def _made(props: dict[str, Any]) -> dict[str, Any]:
    return {**props, "keys": key_text(int(props["key_id"]))}
