"""Where clients find the Kubernetes API, and the kubeconfigs that say so."""

from collections.abc import Sequence

import pulumi

from . import naming
from .api_load_balancer import LoadBalancerAccess
from .kubeconfig import people_kubeconfig
from .node_info import NodeInfo
from .run_errors import told


class ApiHosts:
    """
    Addresses of one cluster's API.

    Args:
        cluster_name: Name of the cluster.
        control_planes: Its control planes, in index order.
        balancer: Load balancer before them, if there is one.
        public: Whether the control planes have public addresses.
    """

    def __init__(
        self,
        cluster_name: str,
        control_planes: Sequence[NodeInfo],
        balancer: LoadBalancerAccess | None,
        *,
        public: bool,
    ) -> None:
        self._cluster_name = cluster_name
        self._names = [node["name"] for node in control_planes]
        self._addresses = [node["address"] for node in control_planes]
        self._balancer: pulumi.Output[str] | None = None
        self.first = self._addresses[0]
        """What people reach first: the load balancer, unless it is only in a network that they are not in."""
        if balancer is not None:
            private = balancer["private_address"]
            addresses = pulumi.Output.from_input(balancer["public_addresses"])
            self._balancer = addresses.apply(lambda found: found[0] if found else private)
            self.first = (
                pulumi.Output.all(self.first, addresses).apply(
                    lambda values: values[1][0] if values[1] else values[0]
                )
                if public
                else self._balancer
            )

    def kubeconfig(self, raw: pulumi.Output[str]) -> pulumi.Output[str]:
        """Kubeconfig with the control planes' own addresses only (secret), for Oxide itself."""
        return _written(raw, None, self._cluster_name, self._names, self._addresses)

    def people_kubeconfig(
        self, raw: pulumi.Output[str], first: pulumi.Output[str]
    ) -> pulumi.Output[str]:
        """Kubeconfig with a context for everything there is (secret); the current one uses `first`."""
        names, addresses = list(self._names), list(self._addresses)
        if self._balancer is not None:
            names.insert(0, naming.api_load_balancer_name(self._cluster_name))
            addresses.insert(0, self._balancer)
        return _written(raw, first, self._cluster_name, names, addresses)


def _written(
    raw: pulumi.Output[str],
    first: pulumi.Output[str] | None,
    cluster_name: str,
    names: Sequence[str],
    addresses: Sequence[pulumi.Output[str]],
) -> pulumi.Output[str]:
    return pulumi.Output.secret(
        pulumi.Output.all(raw, first, *addresses).apply(
            lambda values: told(people_kubeconfig)(
                values[0], cluster_name, list(zip(names, values[2:], strict=True)), values[1]
            )
        )
    )
