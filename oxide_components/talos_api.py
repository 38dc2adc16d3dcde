"""
Calls into the Talos provider, in the only form that works from Python.

The provider's functions do not translate the snake_case keys of its own outputs and refuse them, so secrets
and client configuration are rebuilt as the SDK's argument classes.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import pulumi
from pulumiverse_talos import client, machine

from .run_errors import told_if_failed

MachineSecrets = Mapping[str, Any]
"""Machine secrets as TalosSecrets returns them."""

ClientConfiguration = Mapping[str, str]
"""Talos client credentials as TalosSecrets returns them."""


def machine_configuration(
    *,
    machine_type: str,
    cluster_name: str,
    cluster_endpoint: str,
    machine_secrets: pulumi.Input[MachineSecrets],
    config_contract: pulumi.Input[str],
    kubernetes_version: pulumi.Input[str],
    patches: Sequence[pulumi.Input[str]],
    parent: pulumi.Resource,
) -> pulumi.Output[str]:
    """The whole machine config of one node as YAML (secret)."""
    generated = machine.get_configuration_output(
        cluster_name=cluster_name,
        cluster_endpoint=cluster_endpoint,
        machine_type=machine_type,
        machine_secrets=pulumi.Output.from_input(machine_secrets).apply(_machine_secrets_args),
        talos_version=config_contract,
        kubernetes_version=kubernetes_version,
        config_patches=list(patches),
        # Comments would only use up Hetzner's 32 KiB of user_data.
        docs=False,
        examples=False,
        opts=pulumi.InvokeOutputOptions(parent=parent),
    )
    result = told_if_failed(
        generated,
        f"Talos refuses the machine config of a {machine_type} node",
        "correct configPatches, controlPlaneConfigPatches, workerConfigPatches or the pool's configPatches",
    )
    return pulumi.Output.secret(result.machine_configuration)


def talosconfig(
    *,
    cluster_name: str,
    client_configuration: pulumi.Input[ClientConfiguration],
    endpoints: Sequence[pulumi.Input[str]],
    nodes: Sequence[pulumi.Input[str]],
    parent: pulumi.Resource,
) -> pulumi.Output[str]:
    """Configuration of talosctl (secret): public addresses as endpoints, private ones as nodes."""
    result = client.get_configuration_output(
        cluster_name=cluster_name,
        client_configuration=pulumi.Output.from_input(client_configuration).apply(
            _client_configuration_args
        ),
        endpoints=list(endpoints),
        nodes=list(nodes),
        opts=pulumi.InvokeOutputOptions(parent=parent),
    )
    return pulumi.Output.secret(result.talos_config)


def _machine_secrets_args(secrets: MachineSecrets) -> machine.MachineSecretsArgs:
    certificates = secrets["certs"]
    tokens = secrets["secrets"]
    return machine.MachineSecretsArgs(
        cluster=machine.ClusterArgs(
            id=secrets["cluster"]["id"], secret=secrets["cluster"]["secret"]
        ),
        secrets=machine.KubernetesSecretsArgs(
            bootstrap_token=tokens["bootstrap_token"],
            secretbox_encryption_secret=tokens["secretbox_encryption_secret"],
            aescbc_encryption_secret=tokens.get("aescbc_encryption_secret"),
        ),
        trustdinfo=machine.TrustdInfoArgs(token=secrets["trustdinfo"]["token"]),
        certs=machine.CertificatesArgs(
            etcd=_certificate_args(certificates["etcd"]),
            k8s=_certificate_args(certificates["k8s"]),
            k8s_aggregator=_certificate_args(certificates["k8s_aggregator"]),
            k8s_serviceaccount=machine.KeyArgs(key=certificates["k8s_serviceaccount"]["key"]),
            os=_certificate_args(certificates["os"]),
        ),
    )


def _certificate_args(certificate: Mapping[str, str]) -> machine.CertificateArgs:
    return machine.CertificateArgs(cert=certificate["cert"], key=certificate["key"])


def _client_configuration_args(
    configuration: ClientConfiguration,
) -> client.GetConfigurationClientConfigurationArgs:
    return client.GetConfigurationClientConfigurationArgs(
        ca_certificate=configuration["ca_certificate"],
        client_certificate=configuration["client_certificate"],
        client_key=configuration["client_key"],
    )
