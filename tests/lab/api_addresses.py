"""Where people find the API of a stack's cluster: contexts of the kubeconfig, and who is behind the load balancer."""

import yaml

from oxide_components.naming import api_load_balancer_name

from .stacks import Stack


def api_contexts(stack: Stack) -> dict[str, str]:
    """Server of each context of the people's kubeconfig; the current one under ''."""
    parsed = yaml.safe_load(stack.outputs()["kubeconfig"])
    servers = {entry["name"]: entry["cluster"]["server"] for entry in parsed["clusters"]}
    found = {one["name"]: servers[one["context"]["cluster"]] for one in parsed["contexts"]}
    return {**found, "": found[parsed["current-context"]]}


def balancer_targets(stack: Stack) -> list[str]:
    """Names of the servers behind the API's load balancer, sorted."""
    balancer = stack.cloud.load_balancers.get_by_name(api_load_balancer_name(stack.name))
    assert balancer is not None
    names = {server.id: server.name for server in stack.cloud.servers.get_all()}
    return sorted(names[target.server.id] for target in balancer.targets or [])
