"""The metadata policy covers exactly the pods outside its exceptions."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from oxide_components.metadata_policy import metadata_policy

NAMESPACE = "k8s:io.kubernetes.pod.namespace"


def test_without_exceptions_the_policy_covers_every_pod() -> None:
    policy = metadata_policy()
    assert policy["kind"] == "CiliumClusterwideNetworkPolicy"
    assert policy["spec"]["endpointSelector"] == {}
    assert policy["spec"]["egressDeny"] == [{"toCIDR": ["169.254.169.254/32"]}]
    assert policy["spec"]["enableDefaultDeny"] == {"egress": False, "ingress": False}


def test_namespaces_alone_make_one_rule() -> None:
    policy = metadata_policy([{"namespace": "a"}, {"namespace": "b"}])
    assert policy["spec"]["endpointSelector"] == {
        "matchExpressions": [{"key": NAMESPACE, "operator": "NotIn", "values": ["a", "b"]}]
    }


def test_a_label_makes_one_rule_for_each_way_to_differ() -> None:
    policy = metadata_policy([{"namespace": "a", "labels": {"app": "csi"}}])
    assert [rule["endpointSelector"]["matchExpressions"] for rule in policy["specs"]] == [
        [{"key": "k8s:app", "operator": "NotIn", "values": ["csi"]}],
        [{"key": NAMESPACE, "operator": "NotIn", "values": ["a"]}],
    ]


names = st.sampled_from(["a", "b", "c"])
label_sets = st.dictionaries(st.sampled_from(["app", "tier"]), names, max_size=2)
exceptions = st.lists(st.fixed_dictionaries({"namespace": names, "labels": label_sets}), max_size=4)


@given(exceptions, names, label_sets)
def test_the_policy_covers_exactly_the_pods_outside_all_exceptions(
    excepted: list[dict[str, Any]], namespace: str, labels: dict[str, str]
) -> None:
    policy = metadata_policy(excepted)
    pod = {NAMESPACE: namespace, **{f"k8s:{key}": value for key, value in labels.items()}}

    covered = any(
        all(
            pod.get(expression["key"]) not in expression["values"]
            for expression in rule["endpointSelector"].get("matchExpressions", [])
        )
        for rule in (policy.get("specs") or [policy["spec"]])
    )

    allowed = any(
        access["namespace"] == namespace and access["labels"].items() <= labels.items()
        for access in excepted
    )
    assert covered is not allowed
