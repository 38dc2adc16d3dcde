"""Bad configurations: each is one ConfigError that names the key, the value, the reason and the way out."""

import os
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from oxide_components.config import ClusterConfig
from oxide_components.config_addons import POD_ROUTES
from oxide_components.errors import ConfigError

from .stack_values import pool, raw


class Bad(NamedTuple):
    """Settings with one mistake, and what the message must say about it."""

    values: dict[str, Any]
    setting: str
    value: str
    reason: str
    way_out: str


def pools(**keys: Any) -> dict[str, Any]:
    return {"workerPools": [pool(**keys)]}


def tainted(*effects: str, **settings: Any) -> dict[str, Any]:
    """No worker but those of one pool, with taints of these effects."""
    taints = [{"key": f"t{n}", "effect": effect} for n, effect in enumerate(effects)]
    return {"workers": 0, **pools(taints=taints), **settings}


def rules(*entries: dict[str, Any], **settings: Any) -> dict[str, Any]:
    """Firewall rules, each TCP 22 from one range but for what it says; None removes a key."""
    usual = {"protocol": "tcp", "port": "22", "sourceCidrs": ["203.0.113.7/32"]}
    filled = [{**usual, **entry} for entry in entries]
    kept = [{key: value for key, value in e.items() if value is not None} for e in filled]
    return {"extraFirewallRules": kept, **settings}


def bucket(**keys: Any) -> dict[str, Any]:
    """A bucket for snapshots, changed by `keys`; None removes a key."""
    entry = {"endpoint": "https://fsn1.your-objectstorage.com", "bucket": "etcd", **keys}
    return {"etcdSnapshotBucket": {k: value for k, value in entry.items() if value is not None}}


def cilium(path: str, value: Any) -> dict[str, Any]:
    """One Helm value of the user."""
    for part in reversed(path.split(".")):
        value = {part: value}
    return {"ciliumValues": value}


EVERYBODY = ["0.0.0.0/0", "::/0"]


def patch(text: Any) -> dict[str, Any]:
    return {"configPatches": [text]}


BAD = [
    # keys
    Bad({"wokers": 5}, "wokers", "5", "does not exist", "did you mean workers?"),
    Bad({"control_planes": 3}, "control_planes", "3", "does not exist", "controlPlanes"),
    Bad({"zzzzzz": "x"}, "zzzzzz", "x", "does not exist", "docs/configuration.md"),
    Bad(pools(serverTyp="cx33"), "workerPools[0].serverTyp", "cx33", "exist", "serverType?"),
    Bad(
        pools(taints=[{"key": "a", "efect": "NoSchedule", "effect": "NoSchedule"}]),
        "workerPools[0].taints[0].efect",
        "NoSchedule",
        "exist",
        "effect?",
    ),
    # names
    Bad({"clusterName": "Prod"}, "clusterName", "Prod", "not part of a host name", "lower-case"),
    Bad({"clusterName": "a_b"}, "clusterName", "a_b", "not part of a host name", "hyphens"),
    Bad({"clusterName": "-a"}, "clusterName", "-a", "not part of a host name", "inner hyphens"),
    Bad({"clusterName": "a" * 60}, "clusterName", "aaa", "longer than 63", "shorter clusterName"),
    Bad(
        {"clusterName": "c" * 30, **pools(name="p" * 40)},
        "workerPools[0].name",
        "ppp",
        "longer than 63",
        "shorter",
    ),
    # counts
    Bad({"controlPlanes": 2}, "controlPlanes", "2", "is even", "use 1 or 3"),
    Bad({"controlPlanes": 0}, "controlPlanes", "0", "less than 1", "1 to 9"),
    Bad({"controlPlanes": 11}, "controlPlanes", "11", "more than 9", "1 to 9"),
    Bad({"controlPlanes": "three"}, "controlPlanes", "three", "whole number", "1 to 9"),
    Bad({"controlPlanes": "3.0"}, "controlPlanes", "3.0", "whole number", "1 to 9"),
    Bad({"workers": "9" * 5000}, "workers", "999...", "more digits", "0 to 100"),
    Bad(
        {"workerPools": "[" * 100_000},
        "workerPools",
        "[[[",
        "nested more than 100 levels deep",
        "write less",
    ),
    Bad(
        {"ciliumValues": '{"a":' * 150 + "1" + "}" * 150},
        "ciliumValues",
        '{\\"a\\":',
        "nested more than 100 levels deep",
        "write less",
    ),
    Bad({"location": " "}, "location", '""', "is empty", "nbg1"),
    Bad({"workers": -1}, "workers", "-1", "less than 0", "0 to 100"),
    Bad({"workers": "true"}, "workers", "true", "whole number", "0 to 100"),
    Bad({"workers": 98, "podCidr": "10.64.0.0/16"}, "workers", "101 servers", "100", "fewer"),
    Bad(
        {
            "workers": 0,
            "podCidr": "10.64.0.0/16",
            "workerPools": [pool(name=f"p{n}") for n in range(50)],
        },
        "workerPools",
        "51 placement groups",
        "50",
        "fewer pools",
    ),
    # places and machines
    Bad({"location": "nbg2"}, "location", "nbg2", "not a location", "nbg1, fsn1"),
    Bad(pools(location="ash"), "workerPools[0].location", "ash", "us-east", "one zone"),
    Bad({"controlPlaneLocations": "nbg1"}, "controlPlaneLocations", "nbg1", "not a list", "[0]"),
    Bad({"controlPlaneLocations": [""]}, "controlPlaneLocations[0]", '""', "no", "nbg1, fsn1"),
    Bad({"controlPlaneLocations": [1]}, "controlPlaneLocations[0]", "1", "not a loc", "nbg1, fsn1"),
    Bad(
        {"controlPlaneLocations": ["nbg1", "nbg2"]},
        "controlPlaneLocations[1]",
        "nbg2",
        "not a location",
        "nbg1, fsn1",
    ),
    Bad(
        {"controlPlaneLocations": ["nbg1", "ash"]},
        "controlPlaneLocations[1]",
        "ash",
        "us-east",
        "one zone",
    ),
    Bad(
        {"controlPlaneLocations": ["fsn1", "fsn1"]},
        "controlPlaneLocations[1]",
        "fsn1",
        "listed twice",
        "remove one",
    ),
    Bad({"networkZone": "us-east"}, "location", "nbg1", "eu-central", "one zone"),
    Bad({"networkZone": "EU"}, "networkZone", "EU", "not a network zone", "eu-central"),
    Bad({"location": ""}, "location", '""', "is empty", "nbg1"),
    Bad(
        {"controlPlaneServerType": "t3.large"},
        "controlPlaneServerType",
        "t3.large",
        "not a Hetzner server type",
        "cx33",
    ),
    Bad({"workerServerType": "CX33"}, "workerServerType", "CX33", "not a Hetzner", "cx33"),
    Bad({"workerServerType": "cx21"}, "workerServerType", "cx21", "no longer", "use cx23"),
    Bad(pools(serverType="ccx12"), "workerPools[0].serverType", "ccx12", "no longer", "ccx13"),
    # pools
    Bad({"workerPools": "gpu"}, "workerPools", "gpu", "not a list", "workerPools[0]"),
    Bad({"workerPools": {"name": "a"}}, "workerPools", '{"name"', "not a list", "--path"),
    Bad({"workerPools": ["gpu"]}, "workerPools[0]", "gpu", "not a mapping", "name, count"),
    Bad(pools(name=None), "workerPools[0].name", "null", "is missing", "give the pool a name"),
    Bad(pools(name="Gpu"), "workerPools[0].name", "Gpu", "host name", "lower-case"),
    Bad(pools(name="cp"), "workerPools[0].name", "cp", "control planes", "another name"),
    Bad(pools(name="worker"), "workerPools[0].name", "worker", "already", "workerServerType"),
    Bad(pools(name=7), "workerPools[0].name", "7", "not text", "quotes"),
    Bad(
        {"workerPools": [pool(name="a"), pool(name="a")]},
        "workerPools[1].name",
        "a",
        "already",
        "another name",
    ),
    Bad(pools(count=None), "workerPools[0].count", "null", "is missing", "0 to 100"),
    Bad(pools(count=-1), "workerPools[0].count", "-1", "less than 0", "0 to 100"),
    Bad(pools(count="3"), "workerPools[0].count", '"3"', "is text", "remove the quotes"),
    Bad(pools(count=True), "workerPools[0].count", "true", "whole number", "0 to 100"),
    Bad(pools(labels=["a"]), "workerPools[0].labels", '["a"]', "not a mapping", "NAME: VALUE"),
    Bad(pools(labels={"gpu": True}), "workerPools[0].labels[gpu]", "true", "not text", "quotes"),
    Bad(pools(labels={"-a": "b"}), "workerPools[0].labels[-a]", "-a", "Kubernetes name", "rename"),
    Bad(pools(labels={"A.io/a/b": "c"}), "labels[A.io/a/b]", "A.io/a/b", "DNS name", "rename"),
    Bad(
        pools(labels={"a": "b c"}), "workerPools[0].labels[a]", '"b c"', "label value", "annotation"
    ),
    Bad(
        pools(labels={"node-role.kubernetes.io/worker": ""}),
        "labels[node-role.kubernetes.io/worker]",
        '""',
        "NodeRestriction",
        "kubectl label",
    ),
    Bad(
        pools(labels={"kubernetes.io/hostname": "a"}),
        "labels[kubernetes.io/hostname]",
        "a",
        "kubelet itself",
        "own domain",
    ),
    Bad(pools(labels={"oxide/pool": "a"}), "labels[oxide/pool]", "a", "pool's name", "remove it"),
    Bad(pools(taints={"key": "a"}), "workerPools[0].taints", '{"key"', "not a list", "effect"),
    Bad(
        pools(taints=[{"key": "a", "effect": "NoScheduling"}]),
        "workerPools[0].taints[0].effect",
        "NoScheduling",
        "NoSchedule, PreferNoSchedule",
        "use NoSchedule",
    ),
    Bad(
        pools(taints=[{"key": "a b", "effect": "NoSchedule"}]),
        "taints[0].key",
        '"a b"',
        "Kubernetes name",
        "rename",
    ),
    Bad(
        pools(taints=[{"key": "a", "value": "/", "effect": "NoSchedule"}]),
        "taints[0].value",
        "/",
        "label value",
        "change the value",
    ),
    Bad(
        pools(taints=[{"key": "a", "effect": "NoExecute"}, {"key": "a", "effect": "NoExecute"}]),
        "taints[1]",
        "a",
        "same key and effect",
        "remove one",
    ),
    *(
        Bad(
            tainted("PreferNoSchedule", effect, hubble=hubble),
            "hubble",
            hubble,
            "pods that no node takes: all workers have taints",
            f"cluster.allowSchedulingOnControlPlanes, or set it to metrics, or give {keys}",
        )
        for effect, hubble, keys in (
            ("NoSchedule", "relay", "hubble.relay.tolerations in"),
            ("NoExecute", "ui", "hubble.relay.tolerations and hubble.ui.tolerations in"),
        )
    ),
    Bad(
        tainted(
            "NoSchedule",
            hubble="ui",
            ciliumValues={"hubble": {"relay": {"tolerations": [{"operator": "Exists"}]}}},
        ),
        "hubble",
        "ui",
        "no node takes",
        "give hubble.ui.tolerations in ciliumValues",
    ),
    Bad(
        tainted("NoSchedule", addons={"metricsServer": {"values": {"replicas": 1}}}),
        "addons.metricsServer",
        "true",
        "no node takes",
        "or remove it, or give tolerations in addons.metricsServer.values",
    ),
    Bad(pools(annotations={"a": 1}), "workerPools[0].annotations[a]", "1", "not text", "quotes"),
    Bad(pools(annotations={"a/": "b"}), "annotations[a/]", "a/", "Kubernetes name", "rename"),
    Bad(pools(configPatches="x"), "workerPools[0].configPatches", "x", "not a list", "into a list"),
    # ranges
    Bad({"networkCidr": "ten"}, "networkCidr", "ten", "not an IPv4 range", "10.0.0.0/21"),
    Bad({"networkCidr": "fd00::/48"}, "networkCidr", "fd00::/48", "IPv6", "10.0.0.0/21"),
    Bad({"podCidr": "10.0.16.0"}, "podCidr", "10.0.16.0", "no prefix length", "10.0.16.0/20"),
    Bad({"podCidr": "10.0.16.1/20"}, "podCidr", "10.0.16.1/20", "host bits", "10.0.16.0/20"),
    Bad({"podCidr": "10.0.16.0/33"}, "podCidr", "10.0.16.0/33", "not an IPv4", "10.0.16.0/20"),
    Bad(
        {"networkCidr": "10.0.0.0/16", "serviceCidr": "10.1.0.0/21"},
        "podCidr",
        "10.0.16.0/20",
        "overlaps networkCidr",
        "share",
    ),
    Bad({"podCidr": "10.0.0.0/22"}, "podCidr", "10.0.0.0/22", "overlaps networkCidr", "share no"),
    Bad(
        {"serviceCidr": "10.0.16.0/24"}, "serviceCidr", "10.0.16.0/24", "overlaps podCidr", "share"
    ),
    Bad({"serviceCidr": "10.64.0.0/11"}, "serviceCidr", "10.64.0.0/11", "larger than /12", "/12"),
    Bad({"serviceCidr": "10.0.8.0/29"}, "serviceCidr", "10.0.8.0/29", "too small", "/28"),
    Bad({"podCidr": "8.8.0.0/16"}, "podCidr", "8.8.0.0/16", "not a private range", "10.0.0.0/8"),
    Bad({"podCidr": "172.31.0.0/16"}, "podCidr", "172.31.0.0/16", "172.31.1.1", "without it"),
    Bad(
        {
            "networkCidr": "11.0.0.0/21",
            "controlSubnetCidr": "11.0.0.0/24",
            "workerSubnetCidr": "11.0.1.0/24",
        },
        "networkCidr",
        "11.0.0.0/21",
        "RFC 1918",
        "192.168.0.0/16",
    ),
    Bad(
        {
            "networkCidr": "10.0.0.0/25",
            "controlSubnetCidr": "10.0.0.0/26",
            "workerSubnetCidr": "10.0.0.64/26",
        },
        "networkCidr",
        "10.0.0.0/25",
        "smaller than /24",
        "10.0.0.0/21",
    ),
    Bad(
        {"controlSubnetCidr": "10.1.0.0/24"},
        "controlSubnetCidr",
        "10.1.0.0/24",
        "not inside networkCidr",
        "part of the network",
    ),
    Bad(
        {"workerSubnetCidr": "10.0.0.128/25"},
        "workerSubnetCidr",
        "10.0.0.128/25",
        "overlaps controlSubnetCidr",
        "share no address",
    ),
    Bad(
        {"controlSubnetCidr": "10.0.0.0/28", "controlPlanes": 5},
        "controlSubnetCidr",
        "10.0.0.0/28",
        "room for 3",
        "use a /24",
    ),
    Bad(
        {"workerSubnetCidr": "10.0.1.0/28", "workers": 15},
        "workerSubnetCidr",
        "10.0.1.0/28",
        "14 addresses",
        "larger subnet",
    ),
    Bad(
        {"workerSubnetCidr": "10.0.1.0/31", "workers": 0},
        "workerSubnetCidr",
        "10.0.1.0/31",
        "smaller than /30",
        "use a /24",
    ),
    Bad({"workers": 30}, "podCidr", "10.0.16.0/20", "32 nodes at /25", "larger podCidr"),
    # roll-outs
    Bad({"maxUnavailable": 0}, "maxUnavailable", "0", "less than 1", "1 to 3"),
    Bad({"maxUnavailable": 4}, "maxUnavailable", "4", "more than 3", "1 to 3"),
    Bad({"maxUnavailable": "30%"}, "maxUnavailable", "30%", "whole number", "1 to 3"),
    Bad({"skipNodes": "a"}, "skipNodes", "a", "not a list", "skipNodes[0]"),
    Bad({"skipNodes": [7]}, "skipNodes[0]", "7", "not text", "name of a node"),
    Bad(
        {"skipNodes": ["oxide-worker-1", "oxide-worker-3"]},
        "skipNodes[1]",
        "oxide-worker-3",
        "no node of this cluster",
        "oxide-worker-",
    ),
    Bad(
        {"skipNodes": ["oxide-pc-1"]},
        "skipNodes[0]",
        "oxide-pc-1",
        "no node",
        "did you mean oxide-cp-1? If not, remove it",
    ),
    Bad({"skipNodes": ["unknown"]}, "skipNodes[0]", "unknown", "no node", "remove it"),
    Bad(
        {"skipNodes": ["oxide-worker-1"], "workersGeneration": 2},
        "skipNodes[0]",
        "oxide-worker-1",
        "no node",
        "oxide-worker-g2-1?",
    ),
    Bad(
        {"skipNodes": ["oxide-cp-1", "oxide-cp-1"]},
        "skipNodes[1]",
        "oxide-cp-1",
        "listed twice",
        "remove one",
    ),
    Bad({"upgradeCanary": "cp"}, "upgradeCanary", "cp", "not a list", "upgradeCanary[0]"),
    Bad({"upgradeCanary": [7]}, "upgradeCanary[0]", "7", "not text", "name of a node or pool"),
    Bad(
        {"upgradeCanary": ["cp", "workers"]},
        "upgradeCanary[1]",
        "workers",
        "no node or pool of this cluster",
        "did you mean worker?",
    ),
    Bad(
        {"upgradeCanary": ["oxide-worker-1"], "workersGeneration": 2},
        "upgradeCanary[0]",
        "oxide-worker-1",
        "no node or pool",
        "oxide-worker-g2-1?",
    ),
    Bad({"upgradeCanary": ["db"]}, "upgradeCanary[0]", "db", "no node or pool", "remove it"),
    Bad({"upgradeCanary": ["cp", "cp"]}, "upgradeCanary[1]", "cp", "listed twice", "remove one"),
    Bad({"upgradePause": "on"}, "upgradePause", "on", "neither true nor false", "true or false"),
    Bad(
        {"etcdSnapshotDirectory": "/dev/null"},
        "etcdSnapshotDirectory",
        "/dev/null",
        "is no directory",
        "to be made",
    ),
    Bad(
        {"etcdSnapshotDirectory": "~nobody-here/etcd"},
        "etcdSnapshotDirectory",
        "~nobody-here/etcd",
        "a home that does not exist",
        "whole path",
    ),
    Bad({"etcdSnapshotBucket": "b"}, "etcdSnapshotBucket", "b", "is not a mapping", "--path"),
    Bad(bucket(bukket="b"), "etcdSnapshotBucket.bukket", "", "does not exist", "bucket?"),
    Bad(bucket(endpoint=None), "etcdSnapshotBucket.endpoint", "", "is missing", "https://fsn1"),
    Bad(bucket(endpoint=5), "etcdSnapshotBucket.endpoint", "5", "is not text", "in quotes"),
    *(
        Bad(bucket(endpoint=text), "etcdSnapshotBucket.endpoint", text, "is no address", "https://")
        for text in ("fsn1.your-objectstorage.com", "s3://etcd", "https://", "https://a:b", "x://[")
    ),
    *(
        Bad(
            bucket(endpoint=text),
            "etcdSnapshotBucket.endpoint",
            "https://a.example",
            "by more than a port",
            "https://fsn1",
        )
        for text in ("https://a.example/etcd", "https://me:pw@a.example", "https://a.example?x=1")
    ),
    Bad(
        bucket(endpoint="http://a.example"),
        "etcdSnapshotBucket.endpoint",
        "http://a.example",
        "in plain text",
        "use https://",
    ),
    Bad(bucket(bucket=None), "etcdSnapshotBucket.bucket", "", "is missing", "use 3 to 63"),
    Bad(bucket(bucket="No"), "etcdSnapshotBucket.bucket", "No", "is no name", "use 3 to 63"),
    Bad(bucket(prefix=["a"]), "etcdSnapshotBucket.prefix", "a", "is not text", "in quotes"),
    Bad(bucket(region=1), "etcdSnapshotBucket.region", "1", "is not text", "in quotes"),
    Bad(bucket(accessKey="a"), "etcdSnapshotBucket.secretKey", "", "is missing", "both keys"),
    Bad(
        bucket(accessKey="a", secretKey="hush"),
        "etcdSnapshotBucket.secretKey",
        "[secret]",
        "plain text",
        "config set --secret --path etcdSnapshotBucket.secretKey",
    ),
    Bad(
        {"restoreFrom": "lost/etcd.db"},
        "restoreFrom",
        "lost/etcd.db",
        "cannot be read: no such file",
        "remove the key",
    ),
    Bad({"restoreFrom": "/dev"}, "restoreFrom", "/dev", "is no file", "path of a snapshot"),
    Bad({"restoreFrom": "a\0b"}, "restoreFrom", "a", "cannot be read", "path of a snapshot"),
    # Where the size is wrong, the names that follow from it are no second mistake.
    Bad({"workers": "9x", "skipNodes": ["oxide-worker-9"]}, "workers", "9x", "whole", "0 to 100"),
    Bad({"workers": "9x", "upgradeCanary": ["oxide-worker-9"]}, "workers", "9x", "whole", "0 to"),
    # generations
    Bad({"workersGeneration": 0}, "workersGeneration", "0", "less than 1", "1 to 999"),
    Bad({"workersGeneration": "g2"}, "workersGeneration", "g2", "whole number", "1 to 999"),
    Bad(pools(generation=0), "workerPools[0].generation", "0", "less than 1", "1 to 999"),
    Bad(pools(generation=1000), "workerPools[0].generation", "1000", "more than 999", "1 to 999"),
    Bad(pools(generation="2"), "workerPools[0].generation", '"2"', "is text", "remove the quotes"),
    Bad(pools(generation=1.5), "workerPools[0].generation", "1.5", "whole number", "1 to 999"),
    Bad(
        {"workerPools": [pool(name="a", generation=2), pool(name="a-g2")]},
        "workerPools[0].generation",
        "2",
        "the names of pool a-g2",
        "another generation",
    ),
    Bad(
        {"workersGeneration": 3, **pools(name="worker-g3", count=0)},
        "workersGeneration",
        "3",
        "the names of pool worker-g3",
        "rename that pool",
    ),
    Bad(
        {"clusterName": "c" * 30, **pools(name="p" * 29, generation=20)},
        "workerPools[0].name",
        "ppp",
        "longer than 63",
        "shorter",
    ),
    Bad({"drainTimeout": 0}, "drainTimeout", "0", "", ""),
    Bad({"drainTimeout": "10m"}, "drainTimeout", "10m", "whole number", ""),
    Bad({"nodeTimeout": 0}, "nodeTimeout", "0", "", ""),
    Bad({"nodeTimeout": "15m"}, "nodeTimeout", "15m", "whole number", ""),
    Bad({"nodeCidrMaskSize": 19}, "nodeCidrMaskSize", "19", "does not cut", "20 to 28"),
    Bad({"nodeCidrMaskSize": 30}, "nodeCidrMaskSize", "30", "does not cut", "20 to 28"),
    Bad({"nodeCidrMaskSize": "/25"}, "nodeCidrMaskSize", "/25", "whole number", "1 to 32"),
    Bad(
        {"podCidr": "10.64.0.0/10", "nodeCidrMaskSize": 27},
        "nodeCidrMaskSize",
        "27",
        "does not cut",
        "10 to 26",
    ),
    # versions
    Bad({"talosVersion": "1.13.9"}, "talosVersion", "1.13.9", "leading v", "write v1.13.9"),
    *(
        Bad({"talosVersion": text}, "talosVersion", text[-5:], "not a full version", "v1.13.9")
        for text in ("v1.13.09", "v1.13.9-rc.01", "v1.13.٩", f"v1.13.{'9' * 5000}")
    ),
    Bad({"kubernetesVersion": "01.35.04"}, "kubernetesVersion", "01.35.04", "full", "1.35.4"),
    Bad({"configContract": "v1.013"}, "configContract", "v1.013", "not a config contract", "v1.13"),
    Bad({"talosVersion": "v1.13"}, "talosVersion", "v1.13", "full version", "v1.13.9"),
    Bad({"talosVersion": "v1.11.5"}, "talosVersion", "v1.11.5", "older than Talos 1.12", "v1.13.9"),
    Bad(
        {"talosVersion": "v1.99.0"}, "talosVersion", "v1.99.0", "does not know", "1.12, 1.13, 1.14"
    ),
    Bad({"kubernetesVersion": "v1.35.4"}, "kubernetesVersion", "v1.35.4", "leading v", "1.35.4"),
    Bad({"kubernetesVersion": "1.35"}, "kubernetesVersion", "1.35", "full version", "1.35.4"),
    Bad(
        {"kubernetesVersion": "1.30.0", "ciliumVersion": "1.18.1"},
        "kubernetesVersion",
        "1.30.0",
        "Talos v1.13.9, which takes Kubernetes 1.31 to 1.36",
        "use Kubernetes 1.31 to 1.36, or set talosVersion to a release of 1.12",
    ),
    Bad(
        {"talosVersion": "v1.14.0", "kubernetesVersion": "1.31.0", "ciliumVersion": "1.18.1"},
        "kubernetesVersion",
        "1.31.0",
        "Talos v1.14.0, which takes Kubernetes 1.32 to 1.37",
        "use Kubernetes 1.32 to 1.37, or set talosVersion to a release of 1.12, 1.13",
    ),
    Bad({"kubernetesVersion": "1.36.0"}, "ciliumVersion", "1.19.6", "1.36", "use Kubernetes 1.30"),
    Bad({"ciliumVersion": "1.18.1"}, "ciliumVersion", "1.18.1", "1.30 to 1.33", "to 1.19.6"),
    Bad(
        {"kubernetesVersion": "1.31.0"},
        "ciliumVersion",
        "1.19.6",
        "1.32 to 1.35",
        "set ciliumVersion to a release of 1.18",
    ),
    Bad({"ciliumVersion": "1.15.0"}, "ciliumVersion", "1.15.0", "does not know", "1.18, 1.19"),
    Bad({"ciliumVersion": "latest"}, "ciliumVersion", "latest", "full version", "1.19.6"),
    Bad({"configContract": "1.13"}, "configContract", "1.13", "not a config contract", "v1.13"),
    Bad(
        {"configContract": "v1.13", "talosVersion": "v1.12.4"},
        "configContract",
        "v1.13",
        "newer than talosVersion",
        "use v1.12",
    ),
    Bad(
        {"configContract": "v1.14", "talosVersion": "v1.14.0"},
        "configContract",
        "v1.14",
        "provider generates",
        "use v1.13",
    ),
    Bad(
        {"configContract": "v1.11"}, "configContract", "v1.11", "older than v1.12", "v1.12 or newer"
    ),
    Bad({"schematicId": "abc"}, "schematicId", "abc", "not a schematic", "64 hexadecimal"),
    # images
    Bad({"imageId": "snapshot"}, "imageId", "snapshot", "whole number", "use 1 to"),
    Bad({"imageId": 1, "imageSelector": "os=talos"}, "imageId", "1", "together", "remove one"),
    Bad(
        {"imageId": 1, "workerServerType": "cax21"},
        "imageId",
        "1",
        "both x86 and arm",
        "imageSelector",
    ),
    Bad({"imageSelector": "os = talos"}, "imageSelector", '"os = talos"', "selector", "os=talos"),
    # add-ons
    Bad({"addons": "csi"}, "addons", "csi", "not a mapping", "--path"),
    Bad(
        {"addons": {"cloudControler": True}},
        "addons.cloudControler",
        "true",
        "exist",
        "Controller?",
    ),
    Bad({"addons": {"csi": "true"}}, "addons.csi", "true", "is text", "without quotes"),
    Bad({"addons": {"csi": ["x"]}}, "addons.csi", '["x"]', "not a mapping", "version"),
    Bad({"addons": {"csi": {"versoin": "1"}}}, "addons.csi.versoin", "1", "exist", "version?"),
    Bad({"addons": {"csi": {"version": "v2"}}}, "addons.csi.version", "v2", "full version", "2."),
    Bad({"addons": {"csi": {"version": 2}}}, "addons.csi.version", "2", "not text", "quotes"),
    Bad(
        {"addons": {"csi": {"chart": " "}}}, "addons.csi.chart", '" "', "is empty", "remove the key"
    ),
    Bad({"ciliumChart": " "}, "ciliumChart", '""', "is empty", "to use cilium"),
    Bad({"addons": {"csi": {"values": "x"}}}, "addons.csi.values", "x", "not a mapping", "values"),
    Bad(
        {"addons": {"metricsServer": {"chart": "https://x/y.tgz"}}},
        "addons.metricsServer.chart",
        "https://x/y.tgz",
        "reference",
        "addons.metricsServer.repository",
    ),
    Bad(
        {"addons": {"cloudController": {"repository": "charts.hetzner.cloud"}}},
        "addons.cloudController.repository",
        "charts.hetzner.cloud",
        "address",
        "https://charts.hetzner.cloud",
    ),
    Bad(
        {"addons": {"metricsServer": {"encryptedStorageClass": True}}},
        "addons.metricsServer.encryptedStorageClass",
        "true",
        "exist",
        "use version",
    ),
    Bad(
        {"addons": {"csi": {"encryptedStorageClass": "yes"}}},
        "addons.csi.encryptedStorageClass",
        "yes",
        "neither true nor false",
        "write true",
    ),
    Bad(
        {"addons": {"csi": {"defaultStorageClass": "hcloud-volumes-encrypted"}}},
        "addons.csi.defaultStorageClass",
        "hcloud-volumes-encrypted",
        "not a class",
        "set addons.csi.encryptedStorageClass to true",
    ),
    Bad({"deleteVolumes": "yes"}, "deleteVolumes", "yes", "neither true nor false", "write true"),
    # Cilium
    Bad(
        {"ciliumChart": "https://x/y.tgz"}, "ciliumChart", "https://x/y.tgz", "reference", "oci://"
    ),
    Bad(
        {"ciliumChart": "./charts/cilium", "ciliumRepository": "https://helm.cilium.io"},
        "ciliumRepository",
        "https://helm.cilium.io",
        "names the chart's place",
        "remove ciliumRepository",
    ),
    Bad(
        {"ciliumRepository": "oci://a/b"}, "ciliumRepository", "oci://a/b", "address", "ciliumChart"
    ),
    Bad(
        {"ciliumRepository": "helm.cilium.io"},
        "ciliumRepository",
        "helm.cilium.io",
        "address",
        "https",
    ),
    Bad({"ciliumValues": "hubble"}, "ciliumValues", "hubble", "not a mapping", "--path"),
    Bad(
        {"ciliumValues": {"k8sServiceHost": "10.0.0.11"}},
        "ciliumValues.k8sServiceHost",
        "10.0.0.11",
        "KubePrism",
        "remove it",
    ),
    Bad(
        {"ciliumValues": {"k8sServicePort": 6443}},
        "ciliumValues.k8sServicePort",
        "6443",
        "7445",
        "remove",
    ),
    Bad(
        {"ciliumValues": {"kubeProxyReplacement": False}},
        "ciliumValues.kubeProxyReplacement",
        "false",
        "no kube-proxy",
        "remove it",
    ),
    Bad(
        {"ciliumValues": {"routingMode": "native"}},
        "ciliumValues.routingMode",
        "native",
        "contradicts routingMode",
        "set routingMode",
    ),
    Bad(
        {"ciliumValues": {"nodeIPAM": {"enabled": True}}},
        "ciliumValues.nodeIPAM.enabled",
        "true",
        "contradicts nodeIpam",
        "set nodeIpam",
    ),
    Bad(
        {"ciliumValues": {"gatewayAPI": {"enabled": True}}},
        "ciliumValues.gatewayAPI.enabled",
        "true",
        "contradicts gatewayApi",
        "set gatewayApi",
    ),
    Bad(
        {"encryption": "wireguard", "ciliumValues": {"encryption": {"type": "ipsec"}}},
        "ciliumValues.encryption.type",
        "ipsec",
        "contradicts encryption",
        "set encryption",
    ),
    *(
        Bad(cilium(path, None), f"ciliumValues.{path}", "null", f"Oxide decides {owned}", way_out)
        for path, owned, way_out in (
            ("k8sServiceHost", "k8sServiceHost", "remove it"),
            ("k8sServicePort", "k8sServicePort", "remove it"),
            ("kubeProxyReplacement", "kubeProxyReplacement", "remove it"),
            ("ipam", "ipam.mode", "podCidr"),
            ("ipam.mode", "ipam.mode", "podCidr"),
            ("cgroup", "cgroup.autoMount.enabled", "remove it"),
            ("cgroup.autoMount", "cgroup.autoMount.enabled", "remove it"),
            ("securityContext", "securityContext.capabilities.ciliumAgent", "SYS_MODULE out"),
            ("routingMode", "routingMode", "set routingMode"),
            ("encryption", "encryption.enabled", "set encryption"),
            ("gatewayAPI.enabled", "gatewayAPI.enabled", "set gatewayApi"),
        )
    ),
    *(
        Bad(
            {**settings, **cilium(path, value)},
            f"ciliumValues.{path}",
            str(value).lower(),
            f"contradicts {setting}",
            f"set {setting}",
        )
        for path, value, setting, settings in (
            ("hubble.enabled", False, "hubble", {}),
            ("hubble.enabled", True, "hubble", {"hubble": "off"}),
            ("hubble.relay.enabled", True, "hubble", {}),
            ("hubble.relay.enabled", "false", "hubble", {"hubble": "ui"}),
            ("hubble.ui.enabled", True, "hubble", {"hubble": "relay"}),
            ("egressGateway.enabled", True, "egressGateway", {}),
            ("egressGateway.enabled", False, "egressGateway", {"egressGateway": True}),
            ("bandwidthManager.enabled", True, "bandwidthManager", {}),
        )
    ),
    Bad(cilium("hubble", None), "ciliumValues.hubble", "null", "hubble.enabled", "set hubble"),
    Bad(cilium("ipv4.enabled", False), "ciliumValues.ipv4.enabled", "false", "IPv4", "remove it"),
    Bad(
        cilium("rollOutCiliumPods", False),
        "ciliumValues.rollOutCiliumPods",
        "false",
        "running agents",
        "remove it",
    ),
    *(
        Bad(
            {
                "networkCidr": "10.0.0.0/16",
                "routingMode": mode,
                "podCidr": "10.0.16.0/20" if mode == "native" else "10.96.0.0/20",
                "serviceCidr": "10.97.0.0/20",
                "addons": {"cloudController": {"values": {"env": env}}},
            },
            f"addons.cloudController.values.env.{place}",
            value,
            f"contradicts routingMode {mode}",
            "routingMode decides",
        )
        for mode, env, place, value in (
            ("native", {POD_ROUTES: {"value": "false"}}, f"{POD_ROUTES}.value", "false"),
            ("native", {POD_ROUTES: None}, POD_ROUTES, "null"),
            ("tunnel", {POD_ROUTES: {"value": "true"}}, f"{POD_ROUTES}.value", "true"),
        )
    ),
    Bad(cilium("ipam", "x"), "ciliumValues.ipam", "x", "not a mapping", "remove it"),
    Bad({"ciliumTimeout": 0}, "ciliumTimeout", "0", "less than 1", "use 1 to"),
    Bad({"routingMode": "bgp"}, "routingMode", "bgp", "choices", "tunnel or native"),
    Bad({"encryption": "tls"}, "encryption", "tls", "choices", "none or wireguard or ipsec"),
    Bad({"hubble": "true"}, "hubble", "true", "choices", "off or metrics or relay or ui"),
    Bad({"ipsecKeyId": 16}, "ipsecKeyId", "16", "more than 15", "use 1 to 15"),
    Bad({"gatewayApi": "yes"}, "gatewayApi", "yes", "neither true nor false", "true or false"),
    Bad({"egressGateway": 1}, "egressGateway", "1", "neither true nor false", "true or false"),
    Bad({"bandwidthManager": 1}, "bandwidthManager", "1", "neither true", "true or false"),
    Bad({"nodeIpam": 1}, "nodeIpam", "1", "neither true nor false", "true or false"),
    Bad({"nodeIpam": True}, "nodeIpam", "true", "ExternalIP", "addons.cloudController"),
    Bad(
        {"nodeIpam": True, "access": "private", "natGateway": "10.0.2.2"},
        "nodeIpam",
        "true",
        "because access is private",
        "services of type LoadBalancer",
    ),
    Bad(
        {
            "nodeIpam": True,
            "workerAccess": "private",
            "natGateway": "10.0.2.2",
            "addons": {"cloudController": True},
        },
        "nodeIpam",
        "true",
        "because workerAccess is private and no node has an ExternalIP",
        "services of type LoadBalancer",
    ),
    Bad(
        {"routingMode": "native", "networkCidr": "10.0.0.0/16"},
        "routingMode",
        "native",
        "cloud controller",
        "addons.cloudController",
    ),
    Bad(
        {"routingMode": "native", "addons": {"cloudController": True}},
        "podCidr",
        "10.0.16.0/20",
        "not inside networkCidr",
        "10.0.0.0/16",
    ),
    Bad(
        {
            "routingMode": "native",
            "addons": {"cloudController": True},
            "networkCidr": "10.0.0.0/16",
            "workerSubnetCidr": "10.0.17.0/24",
        },
        "podCidr",
        "10.0.16.0/20",
        "overlaps workerSubnetCidr",
        "share no address",
    ),
    Bad(
        {"gatewayApiManifest": "missing.yaml"},
        "gatewayApiManifest",
        "missing.yaml",
        "is no file",
        "remove the key",
    ),
    Bad(
        {"gatewayApiManifest": "https://mirror.example.com/crds.yaml"},
        "gatewayApiManifest",
        "https://mirror.example.com/crds.yaml",
        "what it has to hold",
        "#sha256=",
    ),
    Bad(
        {"ciliumValues": {"ipam": {"mode": "cluster-pool"}}},
        "ciliumValues.ipam.mode",
        "pool",
        "pod",
        "podCidr",
    ),
    Bad(
        {"ciliumValues": {"ipv6": {"enabled": True}}},
        "ciliumValues.ipv6.enabled",
        "true",
        "IPv6",
        "remove",
    ),
    Bad(
        {"ciliumValues": {"hubble.ui.enabled": True}},
        "ciliumValues.hubble.ui.enabled",
        "true",
        "dot",
        "below it",
    ),
    # access
    Bad({"adminCidrs": "203.0.113.7"}, "adminCidrs", "203.0.113.7", "not a list", "adminCidrs[0]"),
    Bad({"adminCidrs": []}, "adminCidrs", "[]", "admits nobody", "remove the key"),
    Bad(
        {"adminCidrs": ["203.0.113.7/24"]},
        "adminCidrs[0]",
        "203.0.113.7/24",
        "host bits",
        "203.0.113.7/32",
    ),
    Bad(
        {"adminCidrs": ["2001:db8::1/64"]},
        "adminCidrs[0]",
        "2001:db8::1/64",
        "host bits",
        "2001:db8::/64",
    ),
    *(
        Bad({"adminCidrs": [text]}, "adminCidrs[0]", text, "names an interface", "2001:db8::/64")
        for text in ("fe80::1%eth0", "fe80::%eth0/64")
    ),
    Bad({"adminCidrs": ["home"]}, "adminCidrs[0]", "home", "not an IP range", "203.0.113.7/32"),
    Bad({"adminCidrs": [7]}, "adminCidrs[0]", "7", "not text", "203.0.113.7/32"),
    Bad({"adminCidrs": ["0.0.0.0/0"]}, "adminCidrs", "0.0.0.0/0", "everybody", "allowPublicApi"),
    Bad({"adminCidrs": ["::/0"]}, "adminCidrs", "::/0", "everybody", "allowPublicApi"),
    Bad(
        {"adminCidrs": ["2001:db8::/64", "2001:db8:1::7"]},
        "adminCidrs",
        "2001:db8::/64, 2001:db8:1::7/128",
        "admits nobody, not even this program, because nodes are reached over IPv4",
        "add your public IPv4 address",
    ),
    Bad(
        {"adminCidrs": ["::/0"], "allowPublicApi": True},
        "adminCidrs",
        "::/0",
        "over IPv4",
        "add your public IPv4 address",
    ),
    Bad(
        {"access": "private", "natGateway": "10.0.2.2", "adminCidrs": ["2001:db8::/64"]},
        "adminCidrs",
        "a value",
        "about public addresses, and no node has one",
        "set access to public",
    ),
    Bad(
        {"adminCidrs": ["0.0.0.0/1", "128.0.0.0/1"]},
        "adminCidrs",
        "0.0.0.0/1, 128.0.0.0/1",
        "everybody",
        "allowPublicApi",
    ),
    Bad(
        {"adminCidrs": [f"203.0.113.{n}/32" for n in range(101)]},
        "adminCidrs",
        "101 ranges",
        "100",
        "join them",
    ),
    Bad(
        {"allowPublicApi": "yes"},
        "allowPublicApi",
        "yes",
        "neither true nor false",
        "true or false",
    ),
    Bad(
        {"deletionProtection": "1"},
        "deletionProtection",
        "1",
        "neither true",
        "write true or false",
    ),
    Bad(
        {"apiHostname": "https://api.x.io"},
        "apiHostname",
        "https://api.x.io",
        "DNS name",
        "without scheme",
    ),
    Bad(
        {"apiHostname": "203.0.113.7"},
        "apiHostname",
        "203.0.113.7",
        "not a DNS name",
        "api.example.com",
    ),
    # exposure
    Bad(
        {"apiLoadBalancer": "public"},
        "apiLoadBalancer",
        "public",
        "no Hetzner firewall covers a load balancer",
        "allowPublicApi to true, or use private",
    ),
    Bad(
        {"apiLoadBalancer": "yes"}, "apiLoadBalancer", "yes", "no choice", "none, private or public"
    ),
    Bad(
        {"apiLoadBalancer": "private", "apiLoadBalancerType": "big"},
        "apiLoadBalancerType",
        "big",
        "not a Hetzner load balancer type",
        "lb11",
    ),
    Bad({"access": "vpn"}, "access", "vpn", "no choice", "public or private"),
    Bad({"access": "private"}, "access", "private", "without a way to the internet", "natGateway"),
    Bad(
        {"workerAccess": "private"},
        "workerAccess",
        "private",
        "without a way to the internet",
        "existingNatRoute",
    ),
    Bad(
        {"access": "private", "natGateway": "10.0.2.2", "workerAccess": "public"},
        "workerAccess",
        "public",
        "although access is private",
        "remove it",
    ),
    Bad(
        {"access": "private", "natGateway": "10.0.2.2", "adminCidrs": ["203.0.113.7"]},
        "adminCidrs",
        "a value",
        "about public addresses, and no node has one",
        "set access to public",
    ),
    Bad(
        {"access": "private", "natGateway": "10.0.2.2", "rdns": "{name}.example.com"},
        "rdns",
        "a value",
        "about public addresses",
        "remove it",
    ),
    Bad(
        {"access": "private", "natGateway": "10.0.2.2", "workerIngressPorts": [443]},
        "workerIngressPorts",
        "a value",
        "about public addresses",
        "remove it",
    ),
    Bad(
        {"workerAccess": "private", "natGateway": "10.0.2.2", "workerIngressPorts": [443, 8080]},
        "workerIngressPorts",
        "443, 8080",
        "about public addresses, and no worker has one",
        "set workerAccess to public",
    ),
    Bad(
        rules({"role": "all"}, {"role": "worker", "port": 23}, workerAccess="private", workers=0),
        "extraFirewallRules[1]",
        "role worker",
        "although workerAccess is private",
        "remove it",
    ),
    Bad({"natGateway": "nat"}, "natGateway", "nat", "not an IPv4 address", "10.0.2.2"),
    Bad({"natGateway": "10.9.0.1"}, "natGateway", "10.9.0.1", "not in networkCidr", "address that"),
    Bad({"natGateway": "10.0.0.1"}, "natGateway", "10.0.0.1", "gateway of the network", "own"),
    Bad({"natGateway": "10.0.0.13"}, "natGateway", "10.0.0.13", "of a control plane", "own"),
    *(
        Bad({"natGateway": address}, "natGateway", address, reason, "an address of its own")
        for address, reason in (
            ("10.0.0.0", "is the first address of"),
            ("10.0.0.255", "is the last address of controlSubnetCidr"),
            ("10.0.7.255", "is the last address of networkCidr"),
        )
    ),
    Bad({"natGateway": "10.0.0.254"}, "natGateway", "10.0.0.254", "load balancer", "own"),
    Bad(
        {"existingNatRoute": True},
        "existingNatRoute",
        "true",
        "the network that Oxide makes has no route",
        "networkId",
    ),
    Bad(
        {"existingNatRoute": True, "networkId": 7, "natGateway": "10.0.2.2"},
        "existingNatRoute",
        "true",
        "together with natGateway",
        "remove one",
    ),
    Bad({"networkId": 0}, "networkId", "0", "less than 1", "1 to"),
    Bad({"networkId": "net"}, "networkId", "net", "whole number", "1 to"),
    Bad({"ipv6": "off"}, "ipv6", "off", "neither true nor false", "true or false"),
    Bad({"rdns": "node.example.com"}, "rdns", "node.example.com", "the same name", "{name}"),
    Bad({"rdns": "{name}"}, "rdns", "{name}", "makes no DNS name", "{name}.example.com"),
    # firewall rules
    Bad({"extraFirewallRules": [22]}, "extraFirewallRules[0]", "22", "not a mapping", "protocol"),
    Bad(rules({"proto": "tcp"}), "extraFirewallRules[0].proto", "tcp", "exist", "protocol?"),
    Bad(
        rules({"protocol": "sctp"}),
        "extraFirewallRules[0].protocol",
        "sctp",
        "no protocol",
        "tcp, udp, icmp, esp or gre",
    ),
    Bad(rules({"protocol": None}), "extraFirewallRules[0].protocol", "null", "missing", "tcp"),
    Bad(
        rules({"role": "cp"}), "extraFirewallRules[0].role", "cp", "no role", "controlPlane, worker"
    ),
    Bad(rules({"direction": "up"}), "extraFirewallRules[0].direction", "up", "no dir", "in or out"),
    Bad(
        rules({"protocol": "icmp"}),
        "extraFirewallRules[0].port",
        "22",
        "given for icmp, which has none",
        "remove it",
    ),
    Bad(rules({"port": None}), "extraFirewallRules[0].port", "null", "is missing", "8000-8100"),
    Bad(rules({"port": "http"}), "extraFirewallRules[0].port", "http", "no port", "1 to 65535"),
    Bad(rules({"port": 0}), "extraFirewallRules[0].port", "0", "no port", "1 to 65535"),
    Bad(rules({"port": True}), "extraFirewallRules[0].port", "true", "no port", "1 to 65535"),
    Bad(rules({"port": "90-80"}), "extraFirewallRules[0].port", "90-80", "no port", "8000-8100"),
    Bad(
        rules({"port": "80-65536"}),
        "extraFirewallRules[0].port",
        "80-65536",
        "no port",
        "1 to 65535",
    ),
    Bad(
        rules({"sourceCidrs": None}),
        "extraFirewallRules[0].sourceCidrs",
        "null",
        "is missing",
        "0.0.0.0/0",
    ),
    Bad(
        rules({"sourceCidrs": "203.0.113.7"}),
        "extraFirewallRules[0].sourceCidrs",
        "203.0.113.7",
        "not a list",
        "list the ranges",
    ),
    Bad(
        rules({"sourceCidrs": ["203.0.113.7/24"]}),
        "extraFirewallRules[0].sourceCidrs[0]",
        "203.0.113.7/24",
        "host bits",
        "203.0.113.0/24",
    ),
    Bad(
        rules({"sourceCidrs": [f"203.0.113.{n}" for n in range(101)]}),
        "extraFirewallRules[0].sourceCidrs",
        "101 ranges",
        "more than the 100",
        "two rules",
    ),
    Bad(
        rules({"destinationCidrs": EVERYBODY}),
        "extraFirewallRules[0].destinationCidrs",
        "0.0.0.0/0",
        "no meaning for direction in",
        "use sourceCidrs",
    ),
    Bad(
        rules({"description": "x" * 256}),
        "extraFirewallRules[0].description",
        "xxx",
        "longer than 255",
        "shorten",
    ),
    Bad(
        rules({"role": "worker"}, {"description": "again", "role": "all"}),
        "extraFirewallRules[1]",
        "again",
        "the same as extraFirewallRules[0]",
        "remove one",
    ),
    Bad(
        rules({"port": 80, "sourceCidrs": EVERYBODY, "role": "worker"}),
        "extraFirewallRules",
        "tcp 80",
        "workerIngressPorts opens already",
        "remove it",
    ),
    Bad(
        rules({"port": 6443, "sourceCidrs": ["::/0"]}),
        "extraFirewallRules[0]",
        "6443",
        "opens port 6443, the Kubernetes API, to everybody",
        "allowPublicApi",
    ),
    Bad(
        rules({"port": "49000-50000", "sourceCidrs": EVERYBODY, "role": "worker"}),
        "extraFirewallRules[0]",
        "49000-50000",
        "opens port 50000, the Talos API, to everybody",
        "allowPublicApi",
    ),
    Bad(
        rules(
            {"port": 6443, "sourceCidrs": ["0.0.0.0/1"]},
            {"port": 6443, "sourceCidrs": ["128.0.0.0/1"]},
        ),
        "extraFirewallRules[0]",
        "6443",
        "to everybody",
        "name the ranges",
    ),
    Bad(
        rules({"port": 6443, "sourceCidrs": ["128.0.0.0/1"]}, adminCidrs=["0.0.0.0/1"]),
        "extraFirewallRules[0]",
        "6443",
        "to everybody",
        "name the ranges",
    ),
    Bad(
        rules({"port": "2379-2380", "sourceCidrs": ["0.0.0.0/0"]}, allowPublicApi=True),
        "extraFirewallRules[0]",
        "2379-2380",
        "opens port 2379, etcd, to everybody",
        "leave the port out",
    ),
    Bad(
        rules(*({"port": port, "role": "worker"} for port in range(1000, 1048))),
        "extraFirewallRules",
        "51 rules",
        "Oxide's own 3 are more than the 50",
        "port ranges",
    ),
    Bad({"workerIngressPorts": [0]}, "workerIngressPorts[0]", "0", "not a port", "1 to 65535"),
    Bad({"workerIngressPorts": ["80"]}, "workerIngressPorts[0]", "80", "not a port", "1 to 65535"),
    Bad({"workerIngressPorts": [80, 80]}, "workerIngressPorts[1]", "80", "twice", "remove one"),
    Bad(
        {"workerIngressPorts": [50000]}, "workerIngressPorts[0]", "50000", "Talos API", "adminCidrs"
    ),
    Bad(
        {"workerIngressPorts": 80},
        "workerIngressPorts",
        "80",
        "not a list",
        "workerIngressPorts[0]",
    ),
    Bad(
        {"workerIngressPorts": list(range(1000, 1050))},
        "workerIngressPorts",
        "50 ports",
        "48",
        "fewer ports",
    ),
    Bad({"metadataAccess": [{}]}, "metadataAccess[0].namespace", '""', "namespace", "name one"),
    Bad(
        {"metadataAccess": [{"namespace": "Kube System"}]},
        "metadataAccess[0].namespace",
        '"Kube System"',
        "not a namespace",
        "kube-system",
    ),
    Bad(
        {"metadataAccess": [{"namespace": "a", "labels": {"app": "/"}}]},
        "metadataAccess[0].labels[app]",
        "/",
        "label value",
        "correct the label",
    ),
    Bad(
        {"metadataAccess": [{"namespace": f"n{n}", "labels": {"app": "a"}} for n in range(6)]},
        "metadataAccess",
        "6 entries",
        "32 policy rules",
        "namespaces alone",
    ),
    # machine config patches
    Bad(
        {"configPatches": "machine: {}"},
        "configPatches",
        "machine",
        "not a list",
        "configPatches[0]",
    ),
    Bad(patch("a: [1"), "configPatches[0]", "a: [1", "not YAML in line", "correct the YAML"),
    Bad(patch(""), "configPatches[0]", '""', "is empty", "remove it"),
    Bad(patch(5), "configPatches[0]", "5", "not a patch", "YAML text or a mapping"),
    Bad(patch("just text"), "configPatches[0]", "just text", "not a patch", "as a mapping"),
    Bad(
        patch("@patch.yaml"), "configPatches[0]", "@patch.yaml", "names a file", "pulumi config set"
    ),
    Bad(
        patch('[{"op": "add", "path": "/machine/x", "value": 1}]'),
        "configPatches[0]",
        "/machine/x",
        "JSON patch",
        "strategic merge patch",
    ),
    Bad(patch("machin: {}"), "configPatches[0] machin", "{}", "no section", "machine?"),
    Bad(
        patch({"cluster": {"network": {"cni": {"name": "flannel"}}}}),
        "configPatches[0] cluster.network.cni",
        "flannel",
        "Cilium is the network",
        "ciliumValues",
    ),
    Bad(
        patch("cluster: {proxy: {disabled: false}}"),
        "cluster.proxy",
        "false",
        "kube-proxy",
        "remove it",
    ),
    Bad(
        patch("machine: {features: {kubePrism: {enabled: false}}}"),
        "machine.features.kubePrism",
        "false",
        "wired to Cilium",
        "remove it",
    ),
    Bad(
        patch("cluster: {network: {podSubnets: [10.244.0.0/16]}}"),
        "cluster.network.podSubnets",
        "10.244.0.0/16",
        "set from podCidr",
        "use podCidr",
    ),
    Bad(
        patch("cluster: {network: {serviceSubnets: [10.96.0.0/12]}}"),
        "cluster.network.serviceSubnets",
        "10.96.0.0/12",
        "set from serviceCidr",
        "use serviceCidr",
    ),
    Bad(
        patch("cluster: {controlPlane: {endpoint: 'https://a:6443'}}"),
        "cluster.controlPlane",
        "https://a:6443",
        "is fixed",
        "apiHostname",
    ),
    Bad(
        patch("cluster: {clusterName: x}"),
        "cluster.clusterName",
        "x",
        "set from",
        "use clusterName",
    ),
    Bad(
        patch("machine: {network: {hostname: x}}"),
        "machine.network.hostname",
        "x",
        "server's name",
        "pool names",
    ),
    Bad(
        patch("apiVersion: v1alpha1\nkind: HostnameConfig\nauto: stable"),
        "configPatches[0] HostnameConfig",
        "stable",
        "rename nodes",
        "pool names",
    ),
    Bad(
        patch("apiVersion: v1alpha1\nkind: KubePrismConfig\nport: 1"),
        "configPatches[0] kind",
        "KubePrismConfig",
        "Talos 1.14",
        "machine or cluster section",
    ),
    Bad(
        patch("kind: LinkConfig\nname: eth2"),
        "configPatches[0] apiVersion",
        "null",
        "missing",
        "apiVersion",
    ),
    Bad(
        patch("apiVersion: v1alpha1\nkind: LinkConfig\nname: eth1\n$patch: delete"),
        "LinkConfig eth1",
        "delete",
        "every node needs",
        "remove it",
    ),
    Bad(
        {
            "clusterName": "prod",
            **patch(
                "apiVersion: v1alpha1\nkind: StaticHostConfig\nname: 1.2.3.4\nhostnames: [api.prod.internal]"
            ),
        },
        "StaticHostConfig 1.2.3.4",
        "api.prod.internal",
        "names the control planes",
        "another host name",
    ),
    Bad(
        patch("machine: {install: {image: x}}"),
        "machine.install.image",
        "x",
        "version",
        "talosVersion",
    ),
    Bad(
        patch("machine: {kubelet: {image: x}}"),
        "machine.kubelet.image",
        "x",
        "version",
        "kubernetesVersion",
    ),
    Bad(
        patch("machine: {features: {hostDNS: {forwardKubeDNSToHost: true}}}"),
        "machine.features.hostDNS.forwardKubeDNSToHost",
        "true",
        "breaks CoreDNS",
        "remove it",
    ),
    Bad(
        patch("cluster: {network: {$patch: delete}}"),
        "cluster.network.cni",
        "delete",
        "Cilium is the network",
        "ciliumValues",
    ),
    Bad(
        {"workerConfigPatches": ["machine: {token: abc.def}"]},
        "workerConfigPatches[0] machine.token",
        "[secret]",
        "secrets",
        "remove it",
    ),
    Bad(
        {"controlPlaneConfigPatches": [{"cluster": {"ca": {"crt": "x"}}}]},
        "controlPlaneConfigPatches[0] cluster.ca",
        "[secret]",
        "secrets",
        "remove it",
    ),
    Bad(
        pools(configPatches=["cluster: {proxy: {}}"]),
        "workerPools[0].configPatches[0] cluster.proxy",
        "{}",
        "kube-proxy",
        "remove it",
    ),
    Bad(
        patch({"machine": {"files": [{"content": "x" * 20_000}]}}),
        "controlPlaneConfigPatches",
        "bytes",
        "Hetzner takes 32768",
        "shorten the patches",
    ),
    Bad(
        pools(configPatches=[{"machine": {"files": [{"content": "x" * 30_000}]}}]),
        "workerPools[0].configPatches",
        "bytes",
        "worker of pool extra",
        "shorten the patches",
    ),
]


@pytest.mark.parametrize("bad", BAD, ids=lambda bad: f"{bad.setting}: {bad.value}"[:70])
def test_a_bad_setting_is_reported_with_key_value_reason_and_way_out(bad: Bad) -> None:
    with pytest.raises(ConfigError) as raised:
        ClusterConfig.parse(raw(bad.values))

    lines = [
        line
        for line in raised.value.problems
        if bad.setting in line.split(": ", 1)[0] or line.startswith(f"oxide:{bad.setting}: ")
    ]
    assert lines, raised.value.problems
    told, semicolon, way_out = lines[0].partition("; ")
    assert lines[0].startswith("oxide:")
    assert bad.value in told
    assert bad.reason in told
    assert semicolon
    assert bad.way_out in way_out


@pytest.mark.parametrize("bad", BAD, ids=lambda bad: f"{bad.setting}: {bad.value}"[:70])
def test_every_problem_is_one_short_line(bad: Bad) -> None:
    with pytest.raises(ConfigError) as raised:
        ClusterConfig.parse(raw(bad.values))

    header, *lines = str(raised.value).splitlines()
    assert header.startswith("The configuration has ")
    assert [line.strip() for line in lines] == list(raised.value.problems)
    assert all(len(line) < 400 for line in lines)


def test_one_mistake_is_one_problem() -> None:
    """A mistake that drags others along hides the one line that helps."""
    dragging = [
        found
        for bad in BAD
        # Deleting a section touches everything in it.
        if "$patch: delete" not in str(bad.values) and len(found := _problems(bad.values)) != 1
    ]
    assert not dragging


def test_a_snapshot_that_cannot_be_used_is_refused(tmp_path: Path) -> None:
    empty, locked = tmp_path / "empty.db", tmp_path / "locked.db"
    empty.touch()
    locked.write_text("etcd")
    locked.chmod(0)

    assert "is an empty file; " in _problems({"restoreFrom": str(empty)})[0]
    # Root reads everything.
    if os.geteuid():
        assert "cannot be read: permission denied; " in _problems({"restoreFrom": str(locked)})[0]


def test_all_mistakes_of_a_stack_are_reported_together() -> None:
    values = {"workers": "x", "controlPlanes": 2, "location": "moon", "typo": "1", "podCidr": "bad"}

    problems = _problems(values)

    assert {line.split(":")[1] for line in problems} == set(values)


def test_a_secret_key_is_shown_nowhere_however_it_is_written() -> None:
    key = "etcdSnapshotBucket"
    for wrong in ({"secretKey": "hush"}, {"secretkey": "hush"}, {"secretKey": 4711}):
        for secret_keys in ([], [key]):
            problems = _problems(bucket(**wrong), secret_keys=secret_keys)
            assert "hush" not in str(problems)
            assert "4711" not in str(problems)


def test_messages_use_the_namespace_of_the_project() -> None:
    with pytest.raises(ConfigError) as raised:
        ClusterConfig.parse({"workers": "x"}, namespace="mine")
    assert raised.value.problems[0].startswith("mine:workers: ")


def test_a_plain_setting_stored_as_a_secret_is_refused_without_its_value() -> None:
    problems = _problems({"clusterName": "hush"}, secret_keys=["clusterName"])
    assert len(problems) == 1
    assert "hush" not in problems[0]
    assert "without --secret" in problems[0]


@pytest.mark.parametrize(
    "values",
    [
        {"configPatches": ["cluster: {clusterName: hush}"]},
        {"configPatches": ["hush: ["]},
        {"workerPools": [{"name": "Hush hush", "count": 1}]},
        {"ciliumValues": {"k8sServiceHost": "hush"}},
        {"unknown": "hush"},
    ],
)
def test_messages_never_show_values_that_the_stack_stores_encrypted(values: dict[str, Any]) -> None:
    problems = _problems(values, secret_keys=list(values))
    assert problems
    assert "hush" not in "".join(problems).lower()


def _problems(values: dict[str, Any], secret_keys: list[str] | None = None) -> tuple[str, ...]:
    with pytest.raises(ConfigError) as raised:
        ClusterConfig.parse(raw(values), secret_keys=secret_keys or ())
    return raised.value.problems


def test_a_patch_with_host_names_of_the_wrong_type_is_no_crash() -> None:
    text = "apiVersion: v1alpha1\nkind: StaticHostConfig\nname: 1.2.3.4\nhostnames: 5"

    assert ClusterConfig.parse(raw({**patch(text)})).config_patches == (text,)
