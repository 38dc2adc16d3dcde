"""A config change never moves a Kubernetes component to another version."""

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from oxide_components.component_images import with_versions_of
from oxide_components.config_changes import changed_keys

SECTIONS = {
    "kubelet": "machine",
    "apiServer": "cluster",
    "controllerManager": "cluster",
    "scheduler": "cluster",
    "proxy": "cluster",
}
DIGEST = "sha256:" + "0" * 64

words = st.from_regex(r"[a-z][a-z0-9]{0,5}", fullmatch=True)
registries = st.sampled_from(
    ["ghcr.io", "registry.k8s.io", "localhost:5000", "mirror.example.com:443"]
)
names = st.builds("{}/{}/{}".format, registries, words, words)
tags = st.builds("v1.{}.{}".format, st.integers(30, 40), st.integers(0, 20))
images = st.fixed_dictionaries({}, optional={key: st.tuples(names, tags) for key in SECTIONS})


def _config(images: dict[str, str], **machine: object) -> str:
    main: dict[str, dict[str, object]] = {"machine": {"type": "worker", **machine}, "cluster": {}}
    for component, image in images.items():
        main[SECTIONS[component]][component] = {"image": image}
    hostname = {"apiVersion": "v1alpha1", "kind": "HostnameConfig", "auto": "off"}
    return str(yaml.safe_dump_all([main, hostname]))


def _image(config: str, component: str) -> str:
    main = next(yaml.safe_load_all(config))
    return str(main[SECTIONS[component]][component]["image"])


def _tagged(images: dict[str, tuple[str, str]]) -> dict[str, str]:
    return {component: f"{name}:{tag}" for component, (name, tag) in images.items()}


def test_a_changed_registry_is_taken_over_with_the_running_version() -> None:
    live = _config({"kubelet": "ghcr.io/siderolabs/kubelet:v1.35.4"})
    wanted = _config({"kubelet": "mirror.example.com:443/kubelet:v1.36.0"})

    found = _image(with_versions_of(live, wanted), "kubelet")
    assert found == "mirror.example.com:443/kubelet:v1.35.4"


@pytest.mark.parametrize("component", SECTIONS)
def test_every_component_keeps_its_version(component: str) -> None:
    live, wanted = _config({component: "a/b:v1.35.4"}), _config({component: "a/b:v1.36.0"})

    assert _image(with_versions_of(live, wanted), component) == "a/b:v1.35.4"


def test_an_image_that_is_pinned_by_digest_is_taken_as_it_is() -> None:
    pinned = {"kubelet": f"ghcr.io/siderolabs/kubelet:v1.36.0@{DIGEST}"}
    live = _config({"kubelet": "ghcr.io/siderolabs/kubelet:v1.35.4"})

    assert with_versions_of(live, _config(pinned)) == _config(pinned)
    assert with_versions_of(_config(pinned), live) == live


def test_an_image_without_a_tag_and_a_port_are_not_taken_for_a_version() -> None:
    untagged = _config({"kubelet": "localhost:5000/kubelet"})
    tagged = _config({"kubelet": "localhost:5000/kubelet:v1.35.4"})

    assert with_versions_of(untagged, tagged) == tagged
    assert with_versions_of(tagged, untagged) == untagged


def test_a_config_whose_versions_run_is_the_very_same_text() -> None:
    # Comments and all: another text would be another config to nobody's use.
    config = "# kept\n" + _config({"kubelet": "ghcr.io/siderolabs/kubelet:v1.35.4"})

    assert with_versions_of(config, config) is config


def test_a_component_that_is_new_in_the_config_gets_the_wanted_version() -> None:
    live = _config({"kubelet": "ghcr.io/siderolabs/kubelet:v1.35.4"})
    wanted = _config(
        {
            "kubelet": "ghcr.io/siderolabs/kubelet:v1.36.0",
            "scheduler": "registry.k8s.io/kube-scheduler:v1.36.0",
        }
    )
    found = with_versions_of(live, wanted)

    assert _image(found, "kubelet").endswith(":v1.35.4")
    assert _image(found, "scheduler").endswith(":v1.36.0")


def test_values_that_parsers_read_differently_stay_what_talos_reads() -> None:
    live = _config({"kubelet": "ghcr.io/siderolabs/kubelet:v1.35.4"})
    wanted = live.replace("v1.35.4", "v1.36.0").replace(
        "type: worker",
        "type: worker\n  nodeLabels: {a: =, b: 2024-13-45, c: 'off', d: '1e3', e: '0o17', f: \"12:30\"}",
    )
    found = with_versions_of(live, wanted)

    assert "v1.35.4" in found
    assert changed_keys(live, found) == [f"machine.nodeLabels.{key}" for key in "abcdef"]
    assert changed_keys(found, wanted) == ["machine.kubelet.image"]


@given(images, images, st.dictionaries(words, words, max_size=3))
def test_only_versions_come_from_the_running_config(
    live: dict[str, tuple[str, str]],
    wanted: dict[str, tuple[str, str]],
    labels: dict[str, str],
) -> None:
    text = _config(_tagged(wanted), nodeLabels=labels)
    found = with_versions_of(_config(_tagged(live)), text)

    for component, (name, tag) in wanted.items():
        running = live[component][1] if component in live else tag
        assert _image(found, component) == f"{name}:{running}"
    # Nothing else has changed, and a second look changes nothing more.
    allowed = {f"{SECTIONS[component]}.{component}.image" for component in wanted}
    assert set(changed_keys(text, found)) <= allowed
    assert with_versions_of(_config(_tagged(live)), found) == found
