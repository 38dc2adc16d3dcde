"""Control planes leave the API's load balancer before they go down, and come back once they serve."""

from hcloud import APIException, Client
from hcloud.actions import ActionException
from hcloud.load_balancers import BoundLoadBalancer, LoadBalancerTarget
from hcloud.servers import Server
from requests import RequestException

from . import naming
from .errors import OxideError

_ALREADY = "target_already_defined"
_GONE = ("load_balancer_target_not_found", "not_found")


def leave(client: Client, cluster_name: str, balancer_name: str, server_id: int) -> bool:
    """
    Take a server out of a load balancer, so that no new connection goes to it.

    The last target stays: without any the API is no better off than with one that is about to go down.

    Returns:
        Whether it was among the targets and is not any more.

    Raises:
        OxideError: Hetzner refuses or does not answer.
    """
    try:
        balancer = _balancer(client, cluster_name, balancer_name)
        if balancer is None:
            return False
        targets = _server_ids(balancer)
        if server_id not in targets or len(targets) == 1:
            return False
        balancer.remove_target(_target(server_id)).wait_until_finished()
    except (APIException, ActionException, RequestException) as error:
        if isinstance(error, APIException) and error.code in _GONE:
            return False
        raise OxideError(f"load balancer {balancer_name}: Hetzner: {error}") from None
    return True


def join(client: Client, cluster_name: str, balancer_name: str, server_id: int) -> bool:
    """
    Make sure that a server is a target of a load balancer. There may be no such load balancer.

    Returns:
        Whether it was missing.

    Raises:
        OxideError: Hetzner refuses or does not answer.
    """
    try:
        balancer = _balancer(client, cluster_name, balancer_name)
        if balancer is None or server_id in _server_ids(balancer):
            return False
        balancer.add_target(_target(server_id)).wait_until_finished()
    except (APIException, ActionException, RequestException) as error:
        if isinstance(error, APIException) and error.code == _ALREADY:
            return False
        raise OxideError(f"load balancer {balancer_name}: Hetzner: {error}") from None
    return True


def _balancer(client: Client, cluster_name: str, name: str) -> BoundLoadBalancer | None:
    found = client.load_balancers.get_by_name(name)
    if found is None or (found.labels or {}).get(naming.LABEL_CLUSTER) != cluster_name:
        return None
    return found


def _server_ids(balancer: BoundLoadBalancer) -> set[int]:
    return {
        target.server.id
        for target in balancer.targets or ()
        if target.type == "server" and target.server is not None and target.server.id is not None
    }


def _target(server_id: int) -> LoadBalancerTarget:
    return LoadBalancerTarget(type="server", server=Server(id=server_id), use_private_ip=True)
