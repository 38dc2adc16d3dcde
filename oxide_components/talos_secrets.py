"""The secrets of a Talos cluster: every CA, token and client credential, created once."""

from typing import TypedDict

import pulumi
import pulumiverse_talos as talos

from . import naming
from .component_args import Arguments
from .options import child_options
from .talos_api import ClientConfiguration, MachineSecrets
from .versions import PROVIDER_CONTRACT, parse_contract


class TalosSecretsArgs(TypedDict):
    """How the secrets are made."""

    config_contract: pulumi.Input[str]
    """Talos config contract of the cluster, for example v1.13. Read at creation only."""


class TalosSecrets(pulumi.ComponentResource):
    """
    Machine secrets and the Talos client credentials that follow from them.

    They live in the stack's state, encrypted, and nowhere else: losing them means losing access to the cluster.
    """

    machine_secrets: pulumi.Output[MachineSecrets]
    """Secrets that machine configs are generated from (secret)."""
    client_configuration: pulumi.Output[ClientConfiguration]
    """CA, certificate and key of the Talos client (secret). Renewed by an `up` in its last month."""

    def __init__(
        self,
        name: str,
        args: TalosSecretsArgs,
        opts: pulumi.ResourceOptions | None = None,
        *,
        protect: bool = False,
    ) -> None:
        _refuse_wrong(name, args)
        super().__init__(naming.TYPE_TALOS_SECRETS, name, {}, opts)
        secrets = talos.machine.Secrets(
            name,
            talos_version=args["config_contract"],
            opts=child_options(
                self,
                opts,
                protect=protect,
                # A lowered talos_version makes the provider replace every CA.
                ignore_changes=["talos_version"],
                additional_secret_outputs=["machineSecrets", "clientConfiguration"],
            ),
        )
        self.machine_secrets = pulumi.Output.secret(secrets.machine_secrets)
        self.client_configuration = pulumi.Output.secret(secrets.client_configuration)
        self.register_outputs(
            {
                "machine_secrets": self.machine_secrets,
                "client_configuration": self.client_configuration,
            }
        )


def _refuse_wrong(name: str, args: TalosSecretsArgs) -> None:
    found = Arguments("TalosSecrets", name, args, TalosSecretsArgs)
    contract = found.known("config_contract")
    if contract is not None and parse_contract(contract) is None:
        found.reader.add(
            "config_contract",
            contract,
            "is not a config contract",
            f"write a minor like v{PROVIDER_CONTRACT}",
        )
    found.refuse()
