"""The Oxide program: one stack, one cluster. What the cluster is made of stands in oxide_components/cluster.py."""

import pulumi

from oxide_components.cluster import create_cluster
from oxide_components.node_info import node_table
from oxide_components.program import (
    load_config,
    quiet_interrupts,
    save_commands,
    wanted_versions,
    warn_of_new_address,
)

quiet_interrupts()
config = load_config()
cluster = create_cluster(config)
if config.admin_cidrs is None:
    warn_of_new_address(cluster.identity.admin_cidrs)

pulumi.export("endpoint", cluster.control_plane.endpoint)
pulumi.export("adminCidrs", config.admin_cidrs or cluster.identity.admin_cidrs)
pulumi.export("nodes", node_table(cluster.nodes))
pulumi.export("kubeconfig", cluster.control_plane.kubeconfig)
pulumi.export("talosconfig", cluster.control_plane.talosconfig)
# For programs that add workers of their own; the state holds them, as encrypted, anyway.
pulumi.export("machineSecrets", cluster.secrets.machine_secrets)
pulumi.export("versions", wanted_versions(config))
pulumi.export("saveCommands", save_commands())
