"""Access in a stack's configuration: administrators, open ports, and the metadata service."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import prod
from typing import Any

from . import firewall_rules
from .config_exposure import PRIVATE, check_exposure, read_exposure
from .config_firewall import check_extra_rules, read_extra_rules
from .config_reader import Reader
from .config_schema import METADATA_ACCESS_KEYS
from .kubernetes_syntax import label_value_problem, qualified_name_problem
from .metadata_policy import MAX_METADATA_RULES
from .naming import is_dns_label, is_dns_name


@dataclass(frozen=True, kw_only=True)
class MetadataAccess:
    """Pods that may read the cloud's metadata service, from which all others are kept away."""

    namespace: str
    labels: Mapping[str, str] = field(default_factory=dict)
    """Labels that the pods must carry; empty means every pod of the namespace."""


def read_access(reader: Reader, fields: dict[str, Any]) -> None:
    """Who may reach what: administrators, everybody, and pods."""
    read_exposure(reader, fields)
    fields["allow_public_api"] = allow_public = reader.boolean("allowPublicApi")
    cidrs = reader.array("adminCidrs")
    fields["admin_cidrs"] = None
    if reader.is_set("adminCidrs") and reader.ok("adminCidrs"):
        problems = firewall_rules.admin_cidr_problems(
            cidrs, allow_public=allow_public, public_nodes=fields["access"] != PRIVATE
        )
        reader.add_all(problems)
        fields["admin_cidrs"] = None if problems else firewall_rules.normalise(cidrs)
    fields["api_hostname"] = hostname = reader.text("apiHostname") or None
    if hostname is not None and not is_dns_name(hostname):
        reader.add(
            "apiHostname",
            hostname,
            "is not a DNS name",
            "write one like api.example.com, without scheme or port",
        )
    ports: Sequence[Any] = firewall_rules.DEFAULT_WORKER_INGRESS_PORTS
    if reader.is_set("workerIngressPorts"):
        ports = reader.array("workerIngressPorts")
    reader.add_all(firewall_rules.ingress_port_problems(ports))
    fields["worker_ingress_ports"] = tuple(ports)
    fields["extra_firewall_rules"] = read_extra_rules(reader, reader.array("extraFirewallRules"))
    if reader.ok("workerIngressPorts") and reader.sizes_are_known():
        check_extra_rules(
            reader,
            fields["extra_firewall_rules"],
            admin_cidrs=fields["admin_cidrs"] or (),
            worker_ports=fields["worker_ingress_ports"],
            # Without workers the control planes serve what workers would.
            control_plane_ports=()
            if any(pool.count for pool in fields["worker_pools"])
            else fields["worker_ingress_ports"],
            allow_public=allow_public,
        )
    check_exposure(reader, fields)
    if fields["access"] == PRIVATE:
        fields["admin_cidrs"] = ()
    fields["metadata_access"] = read_metadata_access(reader, reader.array("metadataAccess"))


def read_metadata_access(reader: Reader, values: Sequence[Any]) -> tuple[MetadataAccess, ...]:
    """The entries of `metadataAccess`; none where they unfold into too many rules."""
    exceptions = []
    for index, value in enumerate(values):
        path = f"metadataAccess[{index}]"
        entry = reader.entry(path, value, METADATA_ACCESS_KEYS)
        if entry is None:
            continue
        namespace = reader.entry_text(path, entry, "namespace")
        if not is_dns_label(namespace):
            reader.add(
                f"{path}.namespace",
                namespace,
                "is not a namespace",
                "name one, such as kube-system",
            )
        labels = reader.text_map(f"{path}.labels", entry.get("labels"))
        for key, text in labels.items():
            if reason := qualified_name_problem(key) or label_value_problem(text):
                reader.add(f"{path}.labels[{key}]", text, reason, "correct the label")
        exceptions.append(MetadataAccess(namespace=namespace, labels=labels))
    if prod(1 + len(access.labels) for access in exceptions) > MAX_METADATA_RULES:
        reader.add(
            "metadataAccess",
            f"{len(exceptions)} entries",
            f"unfold into more than {MAX_METADATA_RULES} policy rules",
            "use fewer labels per entry, or namespaces alone",
        )
        return ()
    return tuple(exceptions)
