"""A firewall and a pool of workers, without the rest of Oxide."""

import pulumi
import pulumi_hcloud as hcloud
import pulumiverse_talos as talos

from oxide_components import ClusterArgs, Firewall, FirewallArgs, WorkerPool, WorkerPoolArgs

network = hcloud.Network("own", name="own", ip_range="10.0.0.0/21", labels={"cluster": "own"})
subnet = hcloud.NetworkSubnet(
    "own",
    network_id=network.id.apply(int),
    type="cloud",
    ip_range="10.0.1.0/24",
    network_zone="eu-central",
)
image = hcloud.get_image_output(with_selector="os=talos", with_architecture="x86", most_recent=True)
secrets = talos.machine.Secrets("own", talos_version="v1.13")
firewall = Firewall("edge", FirewallArgs(cluster_name="own", admin_cidrs=["127.0.0.0/8"]))
pool = WorkerPool(
    "batch",
    WorkerPoolArgs(
        cluster=ClusterArgs(
            name="own",
            control_plane_addresses=["10.0.0.11"],
            control_subnet_cidr="10.0.0.0/24",
            worker_subnet_cidr="10.0.1.0/24",
            pod_cidr="10.0.16.0/20",
            service_cidr="10.0.8.0/21",
            node_cidr_mask_size=25,
            talos_version="v1.13.9",
            kubernetes_version="1.35.4",
            schematic_id="376567988ad370138ad8b2698212367b8edcb69b5fd68c80be1f2ec7d603b4ba",
            config_contract="v1.13",
            machine_secrets=secrets.machine_secrets,
        ),
        pool="batch",
        count=2,
        server_type="cx33",
        location="nbg1",
        image_id=image.id.apply(str),
        subnet_id=subnet.id,
        firewall_ids=[firewall.worker_id],
        labels={"purpose": "batch"},
    ),
)
pulumi.export("names", [node["name"] for node in pool.nodes])
