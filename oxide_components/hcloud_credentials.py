"""What controllers inside the cluster need to work with Hetzner's API."""

import hashlib
from typing import TypedDict

import pulumi
import pulumi_kubernetes as kubernetes

from . import naming
from .component_args import refuse_wrong
from .helm_release import NAMESPACE
from .options import child_options

SECRET_NAME = "hcloud"
"""Name of the Secret, which Hetzner's charts expect."""


class HcloudCredentialsArgs(TypedDict):
    """Access to the Hetzner project of the cluster."""

    token: pulumi.Input[str]
    """API token with read and write permission. Kept as a secret."""
    network_id: pulumi.Input[int]
    """Id of the cluster's network."""


class HcloudCredentials(pulumi.ComponentResource):
    """The Secret `hcloud` in kube-system. Needs a Kubernetes provider."""

    secret_name: pulumi.Output[str]
    """Name of the Secret, known once it exists. Its keys are token and network."""
    fingerprint: pulumi.Output[str]
    """Text that another token makes different, and that tells nothing of it."""

    def __init__(
        self, name: str, args: HcloudCredentialsArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        refuse_wrong("HcloudCredentials", name, args, HcloudCredentialsArgs)
        super().__init__(naming.TYPE_HCLOUD_CREDENTIALS, name, {}, opts)
        token = pulumi.Output.secret(args["token"])
        secret = kubernetes.core.v1.Secret(
            name,
            metadata={"name": SECRET_NAME, "namespace": NAMESPACE},
            string_data={
                "token": token,
                "network": pulumi.Output.from_input(args["network_id"]).apply(
                    lambda id_: str(int(id_))
                ),
            },
            opts=child_options(
                self,
                opts,
                additional_secret_outputs=["data", "stringData"],
                # The name is fixed, so a new Secret cannot stand beside the old one.
                delete_before_replace=True,
            ),
        )
        self.secret_name = secret.metadata.apply(lambda metadata: str(metadata.name))
        # A hash of so long a random text can be shown.
        self.fingerprint = pulumi.Output.unsecret(token.apply(_fingerprint))
        self.register_outputs({"secret_name": self.secret_name, "fingerprint": self.fingerprint})


def _fingerprint(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()[:16]
