"""
The raw resources of an Oxide cluster in one flat Pulumi program: no components, no life cycle, nothing that checks.

It is what a cluster costs that somebody writes down by hand, and reads the same settings as Oxide. The texts that go into the
resources come from Oxide's pure modules, so that both make the same servers.
"""

import asyncio
import ssl
import urllib.request
from urllib.error import HTTPError

import pulumi
import pulumi_hcloud as hcloud
import pulumi_kubernetes as kubernetes
import pulumiverse_talos as talos

from oxide_components import naming
from oxide_components.cilium_chart import cilium_values
from oxide_components.cilium_modes import CiliumModes
from oxide_components.firewall_rules import Rule, control_plane_rules, worker_rules
from oxide_components.kubeconfig import people_kubeconfig, server_url
from oxide_components.machine_config import (
    ClusterSettings,
    NodeSettings,
    cluster_endpoint,
    control_plane_documents,
    to_patch,
    worker_documents,
)
from oxide_components.metadata_policy import metadata_policy
from oxide_components.talos_api import machine_configuration, talosconfig
from oxide_components.versions import contract_of, installer_image

config = pulumi.Config()
cluster = config.require("clusterName")
workers = config.require_int("workers")
addresses = [f"10.0.0.{10 + index}" for index in range(1, config.require_int("controlPlanes") + 1)]
control_planes = [f"{cluster}-cp-{index}" for index in range(1, len(addresses) + 1)]
settings = ClusterSettings(
    name=cluster,
    control_plane_addresses=tuple(addresses),
    control_subnet_cidr=config.require("controlSubnetCidr"),
    worker_subnet_cidr=config.require("workerSubnetCidr"),
    pod_cidr=config.require("podCidr"),
    service_cidr=config.require("serviceCidr"),
    node_cidr_mask_size=config.require_int("nodeCidrMaskSize"),
    install_image=installer_image(config.require("schematicId"), config.require("talosVersion")),
    network_gateway="10.0.0.1",
)


def firewall(role: str, rules: list[Rule]) -> hcloud.Firewall:
    """One firewall."""
    return hcloud.Firewall(
        f"firewall-{role}",
        name=f"{cluster}-{role}",
        labels=naming.labels(cluster, role=role),
        rules=[
            hcloud.FirewallRuleArgs(
                direction=rule.direction,
                protocol=rule.protocol,
                port=rule.port,
                source_ips=list(rule.source_ips),
                description=rule.description,
            )
            for rule in rules
        ],
    )


def server(
    index: int, role: str, pool: str, subnet: hcloud.NetworkSubnet, wall: hcloud.Firewall
) -> hcloud.Server:
    """One server with its machine config."""
    name = naming.server_name(cluster, pool, index)
    is_control_plane = role == naming.ROLE_CONTROL_PLANE
    documents = control_plane_documents if is_control_plane else worker_documents
    user_data = machine_configuration(
        machine_type="controlplane" if is_control_plane else "worker",
        cluster_name=cluster,
        cluster_endpoint=cluster_endpoint(cluster),
        machine_secrets=secrets.machine_secrets,
        config_contract=secrets.talos_version,
        kubernetes_version=config.require("kubernetesVersion"),
        patches=[to_patch(documents(settings, NodeSettings(name=name, pool=pool)))],
        parent=secrets,
    )
    return hcloud.Server(
        f"{pool}-{index}",
        name=name,
        server_type=config.require(
            "controlPlaneServerType" if is_control_plane else "workerServerType"
        ),
        location=config.require("location"),
        image=images.images[0].id.apply(str),
        user_data=user_data,
        networks=[
            hcloud.ServerNetworkArgs(
                subnet_id=subnet.id, ip=addresses[index - 1] if is_control_plane else None
            )
        ],
        public_nets=[
            hcloud.ServerPublicNetArgs(
                ipv4_enabled=True,
                ipv4=primary_ips[index - 1].id.apply(int) if is_control_plane else None,
                ipv6_enabled=True,
            )
        ],
        firewall_ids=[wall.id.apply(int)],
        placement_group_id=groups[pool][naming.group_index(index) - 1].id.apply(int),
        keep_disk=True,
        labels=naming.labels(cluster, role=role, pool=pool, index=index),
        opts=pulumi.ResourceOptions(additional_secret_outputs=["userData"]),
    )


async def served(kubeconfig: str, host: str) -> str:
    """The kubeconfig, once the API asks for credentials."""
    strangers = ssl.create_default_context()
    strangers.check_hostname = False
    strangers.verify_mode = ssl.CERT_NONE

    def asks() -> bool:
        try:
            url = f"{server_url(host)}/version"
            urllib.request.urlopen(url, context=strangers, timeout=5)  # noqa: S310  always https
        except HTTPError as error:
            return error.code == 401
        except OSError:
            return False
        return True

    while not await asyncio.to_thread(asks):
        await asyncio.sleep(1)
    return kubeconfig


network = hcloud.Network(
    "network",
    name=cluster,
    ip_range=config.require("networkCidr"),
    labels=naming.labels(cluster),
)
control_subnet, worker_subnet = (
    hcloud.NetworkSubnet(
        f"network-{role}",
        network_id=network.id.apply(int),
        type="cloud",
        ip_range=ip_range,
        network_zone="eu-central",
    )
    for role, ip_range in (
        ("control", settings.control_subnet_cidr),
        ("worker", settings.worker_subnet_cidr),
    )
)
admin_cidrs = config.require_object("adminCidrs")
walls = {
    naming.ROLE_CONTROL_PLANE: firewall(
        naming.ROLE_CONTROL_PLANE, control_plane_rules(admin_cidrs)
    ),
    naming.ROLE_WORKER: firewall(naming.ROLE_WORKER, worker_rules(admin_cidrs, (80, 443))),
}
groups = {
    pool: [
        hcloud.PlacementGroup(
            f"{pool}-group-{number}",
            name=naming.placement_group_name(cluster, pool, number),
            type="spread",
            labels=naming.labels(cluster, role=role, pool=pool),
        )
        for number in range(1, naming.group_count(count) + 1)
    ]
    for pool, role, count in (
        (naming.CONTROL_PLANE_POOL, naming.ROLE_CONTROL_PLANE, len(addresses)),
        (naming.DEFAULT_WORKER_POOL, naming.ROLE_WORKER, workers),
    )
}
primary_ips = [
    hcloud.PrimaryIp(
        f"cp-{index}-ipv4",
        name=f"{name}-ipv4",
        type="ipv4",
        auto_delete=False,
        location=config.require("location"),
        labels=naming.labels(
            cluster, role=naming.ROLE_CONTROL_PLANE, pool=naming.CONTROL_PLANE_POOL, index=index
        ),
    )
    for index, name in enumerate(control_planes, start=1)
]
images = hcloud.get_images_output(
    with_selector="os=talos",
    with_architectures=["x86"],
    with_statuses=["available"],
    most_recent=True,
)
secrets = talos.machine.Secrets(
    "secrets",
    talos_version=contract_of(config.require("talosVersion")),
    opts=pulumi.ResourceOptions(
        additional_secret_outputs=["machineSecrets", "clientConfiguration"]
    ),
)
servers = [
    *(
        server(
            index,
            naming.ROLE_CONTROL_PLANE,
            naming.CONTROL_PLANE_POOL,
            control_subnet,
            walls[naming.ROLE_CONTROL_PLANE],
        )
        for index in range(1, len(addresses) + 1)
    ),
    *(
        server(
            index,
            naming.ROLE_WORKER,
            naming.DEFAULT_WORKER_POOL,
            worker_subnet,
            walls[naming.ROLE_WORKER],
        )
        for index in range(1, workers + 1)
    ),
]
public = [ip.ip_address for ip in primary_ips]
bootstrap = talos.machine.Bootstrap(
    "bootstrap",
    node=addresses[0],
    endpoint=public[0],
    client_configuration=secrets.client_configuration,
    opts=pulumi.ResourceOptions(depends_on=servers[: len(addresses)]),
)
raw = talos.cluster.Kubeconfig(
    "kubeconfig",
    node=addresses[0],
    endpoint=public[0],
    client_configuration=secrets.client_configuration,
    opts=pulumi.ResourceOptions(depends_on=[bootstrap]),
)
kubeconfig = pulumi.Output.all(raw.kubeconfig_raw, *public).apply(
    lambda values: served(
        people_kubeconfig(
            values[0], cluster, list(zip(control_planes, values[1:], strict=True)), None
        ),
        values[1],
    )
)
in_cluster = pulumi.ResourceOptions(
    provider=kubernetes.Provider("kubernetes", kubeconfig=kubeconfig, cluster_identifier=cluster)
)
cilium = kubernetes.helm.v3.Release(
    "cilium",
    name="cilium",
    namespace="kube-system",
    chart=config.require("ciliumChart"),
    version=config.require("ciliumVersion"),
    values=cilium_values(
        control_plane_count=len(addresses),
        worker_count=workers,
        network_cidr=config.require("networkCidr"),
        pod_cidr=settings.pod_cidr,
        modes=CiliumModes(),
    ),
    timeout=900,
    atomic=False,
    skip_await=False,
    max_history=10,
    opts=in_cluster,
)
policy = metadata_policy()
kubernetes.apiextensions.CustomResource(
    "metadata-policy",
    api_version=policy["apiVersion"],
    kind=policy["kind"],
    metadata={"name": policy["metadata"]["name"]},
    spec=policy["spec"],
    opts=pulumi.ResourceOptions.merge(in_cluster, pulumi.ResourceOptions(depends_on=[cilium])),
)
pulumi.export("kubeconfig", pulumi.Output.secret(kubeconfig))
pulumi.export(
    "talosconfig",
    talosconfig(
        cluster_name=cluster,
        client_configuration=secrets.client_configuration,
        endpoints=public,
        nodes=addresses,
        parent=secrets,
    ),
)
