"""The chart, rendered by Helm itself: valid by Kubernetes' schemas, and consistent with itself and with echo."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pytest
import yaml

from echo.evidence.instance import Place
from tests.deploy import checks
from tests.deploy.tools import CHART, Manifest, from_npm, helm, invalid_custom, loaded, render

VALUES = yaml.safe_load((CHART / "values.yaml").read_text())
SCHEMA = json.loads((CHART / "values.schema.json").read_text())
REPORT = '{"version": 1, "checks": [{"name": "trailers", "outcome": "broken", "limit": null}]}'
TLS = {"server": {"tls": {"secretName": "server-tls"}}, "gateway": {"tls": {"secretName": "gateway-tls"}}}

CASES: dict[str, Mapping[str, Any]] = {
    "as it is": {},
    "with TLS": TLS,
    "with mTLS": {
        "server": {"tls": {"secretName": "server-tls", "clientCaSecretName": "client-ca"}},
        "gateway": {"backend": {"clientSecretName": "client-tls", "caSecretName": "ca"}},
        "probe": {"enabled": True},
    },
    "the server alone": {"gateway": {"enabled": False}, "probe": {"enabled": True}},
    "the gateway alone": {
        "server": {"enabled": False},
        "gateway": {"backend": {"host": "a.example.com:443", "port": 443, "tls": True, "serverName": "b.example.com"}},
        "probe": {"enabled": True, "target": "https://a.example.com"},
        "networkPolicy": {"gatewayFrom": [{"podSelector": {}}], "egress": [{"ports": [{"port": 4318}]}]},
    },
    "everything": {
        **{name: {**TLS[name], "autoscaling": {"enabled": True}, "workers": 4} for name in ("server", "gateway")},
        "ingress": {"enabled": True, "tlsSecretName": "ingress-tls", "annotations": {"a/b": "c"}},
        "gatewayApi": {"enabled": True},
        "metrics": {"serviceMonitor": {"enabled": True, "labels": {"release": "prometheus"}}},
        "probe": {"enabled": True, "schedule": "17 * * * *", "expected": REPORT},
        "networkPolicy": {"serverFrom": [{"namespaceSelector": {}}], "egress": [{"ports": [{"port": 4318}]}]},
        "image": {"repository": "r/echo", "digest": f"sha256:{0:064}", "pullSecrets": [{"name": "r"}]},
        "shutdown": {"graceSeconds": 90, "preStopSeconds": 15},
    },
    "with names that YAML reads as something else": {
        "nameOverride": "123",
        "fullnameOverride": "echo",
        "image": {"pullSecrets": [{"name": "1"}]},
        "server": {
            "tls": {"secretName": "456", "clientCaSecretName": "1e3"},
            "podAnnotations": {"a/b": "1"},
            "disruptionBudget": {"maxUnavailable": "25%"},
            "workers": "auto",
        },
        "gateway": {
            "tls": {"secretName": "789"},
            "backend": {"caSecretName": "0x1", "serverName": "off", "clientSecretName": "2"},
        },
        "ingress": {
            "enabled": True,
            "className": "1",
            "host": "*.example.com",
            "grpcHost": "*.grpc.example.com",
            "tlsSecretName": "123",
        },
        "gatewayApi": {"enabled": True, "host": "*.example.com", "grpcHost": "*.grpc.example.com"},
        "metrics": {"serviceMonitor": {"enabled": True}},
        "probe": {"enabled": True, "schedule": "@daily", "arguments": ["--quick"], "expectedConfigMap": "3"},
    },
    "the gateway alone, of a server at an IPv6 address": {
        "server": {"enabled": False},
        "gateway": {"backend": {"host": "[::1]:8081,dns:///a.example.com"}},
        "probe": {"enabled": True, "target": "[::1]:8081", "gateway": "http://[::1]:8080", "direct": "[::2]:8081"},
    },
    "on OpenShift, which chooses the user, and whose pods have IPv6 addresses and tainted nodes": {
        "pods": {"user": None, "serviceAccountName": "1e3", "bind": "::", "labels": {"team": "true"}},
        "probe": {
            "enabled": True,
            "podAnnotations": {"sidecar.istio.io/inject": "false"},
            "nodeSelector": {"a": "b"},
            "tolerations": [{"operator": "Exists"}],
            "affinity": {"nodeAffinity": {}},
        },
        "networkPolicy": {"egress": [{"ports": [{"port": 5353, "protocol": "UDP"}]}]},
    },
    "in plain text behind both": {"ingress": {"enabled": True}, "gatewayApi": {"enabled": True}},
    "without metrics": {"metrics": {"enabled": False}},
    "bare": {
        **{name: {"disruptionBudget": {"enabled": False}} for name in ("server", "gateway")},
        "metrics": {"enabled": False},
        "networkPolicy": {"enabled": False},
        "shutdown": {"preStopSeconds": 0},
    },
}

pytestmark = from_npm


def of_kind(manifests: Sequence[Manifest], kind: str, name: str) -> Manifest:
    (found,) = (each for each in manifests if (each["kind"], each["metadata"]["name"]) == (kind, name))
    return found


def container(manifests: Sequence[Manifest], name: str) -> Manifest:
    (found,) = (each for _, _, each in checks.containers(manifests) if each["name"] == name)
    return found


@pytest.fixture(params=CASES)
def values(request: pytest.FixtureRequest) -> Mapping[str, Any]:
    return CASES[request.param]


def test_an_older_kubernetes_is_refused() -> None:
    done = helm("template", str(CHART), "--kube-version", "1.26.0")
    assert "requires kubeVersion: >=1.27.0" in done.stderr


def test_helm_finds_no_fault(values: Mapping[str, Any]) -> None:
    done = helm("lint", "--strict", str(CHART), values=values)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("version", checks.VERSIONS)
def test_every_manifest_is_valid(values: Mapping[str, Any], version: str) -> None:
    own, custom = checks.separate(loaded(render(values, "--kube-version", f"{version}.0")))
    assert checks.invalid(own, version) == []
    assert not custom or invalid_custom(custom) == []


def test_what_manifests_name_is_there(values: Mapping[str, Any]) -> None:
    assert checks.disagreements(loaded(render(values))) == []


def test_it_renders_under_any_name() -> None:
    for flags in (
        ("--set", "nameOverride=x"),
        ("--set", "fullnameOverride=a-name-that-is-far-longer-than-forty-characters"),
    ):
        manifests = loaded(render(CASES["everything"], *flags))
        assert checks.disagreements(manifests) == []
        assert all(len(each["metadata"]["name"]) <= 63 for each in manifests)


@pytest.mark.parametrize(
    "values",
    [
        {"servr": {}},
        {"server": {"replica": 3}},
        {"server": {"port": 0}},
        {"image": {"digest": "sha256:1"}},
        {"settings": {"log_format": "json"}},
        {"pods": {"user": 0}},
        {"pods": {"bind": "unix:/run/echo.sock"}},
        {"pods": {"labels": {"app.kubernetes.io/name": "another"}}},
    ],
    ids=str,
)
def test_a_value_that_is_not_there_or_makes_no_sense_is_refused(values: Mapping[str, Any]) -> None:
    assert "the specifications of the schema" in helm("template", str(CHART), values=values).stderr


def test_the_schema_knows_every_value_and_no_other() -> None:
    def paths(node: object, at: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
        yield at
        if isinstance(node, dict) and at[-1:] != ("settings",):
            for key, value in node.items():
                yield from paths(value, (*at, key))

    def known(node: Mapping[str, Any], at: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
        yield at
        for key, value in node.get("properties", {}).items():
            yield from known(value, (*at, key))

    assert set(known(SCHEMA)) - {("global",)} == {path for path in paths(VALUES) if not {"resources"} & set(path[:-1])}


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"server": {"settings": {"GRPC_SERVER_PORT": 1}}}, "GRPC_SERVER_PORT is set by the chart from another value"),
        (
            {"server": {"settings": {"GRPC_SERVER_BIND": "::"}}},
            "GRPC_SERVER_BIND is set by the chart from another value",
        ),
        ({"settings": {"WORKERS": 2}}, "WORKERS is set by the chart from another value"),
        ({"server": {"enabled": False}}, "gateway.backend.host: needed, as server.enabled is false"),
        ({"server": {"tls": {"clientCaSecretName": "x"}}}, "needs server.tls.secretName as well"),
        ({"gateway": {"backend": {"clientSecretName": "x"}}}, "only applies with TLS to the server"),
        ({"metrics": {"enabled": False, "serviceMonitor": {"enabled": True}}}, "needs metrics.enabled as well"),
        ({"probe": {"enabled": True, "expected": "{}", "expectedConfigMap": "x"}}, "give one of them"),
        ({"probe": {"enabled": True, "expected": "BROKEN http2"}}, "probe.expected: is not a report in JSON"),
        ({"server": {"port": 9090}}, "metrics.port, server.port: must differ"),
        ({"gateway": {"port": 9090}}, "gateway.port, metrics.port: must differ"),
        ({"server": {"healthPort": 8081, "tls": {"secretName": "x"}}}, "server.healthPort, server.port: must differ"),
        ({"server": {"extraEnv": [{"name": "SHUTDOWN_GRACE", "value": "1s"}]}}, "SHUTDOWN_GRACE is set already"),
        ({"gateway": {"extraEnv": [{"name": "LOG_FORMAT", "value": "auto"}]}}, "LOG_FORMAT is set already"),
    ],
)
def test_values_that_contradict_one_another_are_refused(values: Mapping[str, Any], told: str) -> None:
    assert told in helm("template", str(CHART), values=values).stderr


def test_settings_become_variables_the_component_s_own_first() -> None:
    values = {
        "settings": {"GRPC_MAX_MESSAGE_SIZE": "8MiB", "GRPC_MAX_CONCURRENT_STREAMS": 1_000_000, "LOG_FORMAT": None},
        "server": {"settings": {"GRPC_MAX_MESSAGE_SIZE": "16MiB", "ECHO_SCRIPTING": False}},
    }
    manifests = loaded(render(values))
    server, gateway = (checks.environment(container(manifests, name)) for name in ("server", "gateway"))
    assert server["GRPC_MAX_MESSAGE_SIZE"] == "16MiB"
    assert server["ECHO_SCRIPTING"] == "false"
    assert gateway["GRPC_MAX_MESSAGE_SIZE"] == "8MiB"
    assert server["GRPC_MAX_CONCURRENT_STREAMS"] == gateway["GRPC_MAX_CONCURRENT_STREAMS"] == "1000000"
    assert not {"LOG_FORMAT"} & {*server, *gateway}


def test_large_numbers_are_written_out() -> None:
    """Helm has every number as a float, and would write a year as 3.1536e+07, which ingress-nginx ignores."""
    million = 1_000_000
    values = {
        "pods": {"user": 1_000_680_000},
        "ingress": {"enabled": True, "idleSeconds": 31_536_000},
        "shutdown": {"graceSeconds": million, "preStopSeconds": million},
        "server": {"replicas": million},
        "gateway": {
            "autoscaling": {"enabled": True, "minReplicas": million, "maxReplicas": million, "target": million}
        },
        "probe": {"enabled": True, "deadlineSeconds": million},
    }
    for version in checks.VERSIONS:
        text = render(values, "--kube-version", f"{version}.0")
        assert "e+" not in text
        assert 'proxy-read-timeout: "31536000"' in text
        assert checks.invalid(loaded(text), version) == []


def test_pods_may_leave_their_user_to_the_cluster_and_listen_on_ipv6() -> None:
    values = next(values for name, values in CASES.items() if name.startswith("on OpenShift"))
    for _, pod, each in checks.containers(loaded(render(values))):
        assert not {"runAsUser", "runAsGroup", "fsGroup"} & pod["spec"]["securityContext"].keys()
        assert pod["spec"]["serviceAccountName"] == "1e3"
        assert pod["metadata"]["labels"]["team"] == "true"
        bound = {name: value for name, value in checks.environment(each).items() if name.endswith("_BIND")}
        assert set(bound.values()) <= {"::"}
        assert len(bound) == (0 if each["name"] == "probe" else 2)


def test_settings_may_be_commented_out_altogether() -> None:
    manifests = loaded(render({"settings": None, "server": {"settings": None}, "gateway": {"settings": None}}))
    assert "LOG_FORMAT" not in checks.environment(container(manifests, "server"))


def test_annotations_of_an_ingress_replace_the_chart_s_own() -> None:
    name = "nginx.ingress.kubernetes.io/proxy-read-timeout"
    text = render({"ingress": {"enabled": True, "annotations": {name: "60", "a/b": "c"}}})
    assert text.count(f"{name}:") == 2
    for each in ("echo-grpc", "echo-web"):
        annotations = of_kind(loaded(text), "Ingress", each)["metadata"]["annotations"]
        assert (annotations[name], annotations["a/b"]) == ("60", "c")


@pytest.mark.parametrize(("workers", "variable"), [(1, None), (4, "4"), ("auto", "auto")])
def test_workers(workers: object, variable: str | None) -> None:
    manifests = loaded(render({name: {"workers": workers} for name in ("server", "gateway")}))
    for name in ("server", "gateway"):
        assert checks.environment(container(manifests, name)).get("WORKERS") == variable


def test_the_grace_period_follows_from_one_value() -> None:
    for grace, pre_stop in ((10, 5), (300, 5), (0, 0), (30, 60)):
        manifests = loaded(render({"shutdown": {"graceSeconds": grace, "preStopSeconds": pre_stop}}))
        for _, pod, each in checks.containers(manifests):
            assert checks.environment(each)["SHUTDOWN_GRACE"] == f"{grace}s"
            assert pod["spec"]["terminationGracePeriodSeconds"] == grace + pre_stop + checks.CLOSING + 5


def test_kubernetes_sleeps_before_it_stops_a_pod_or_python_does_where_it_cannot() -> None:
    def hook(version: str) -> object:
        return container(loaded(render({}, "--kube-version", version)), "server")["lifecycle"]["preStop"]

    assert hook("1.30.0") == hook("v1.33.1-gke.5") == {"sleep": {"seconds": 5}}
    assert hook("1.29.9") == {"exec": {"command": ["python", "-c", "import time; time.sleep(5)"]}}


def test_a_pod_says_where_it_runs_as_records_of_calls_have_it() -> None:
    variables = [each["name"] for each in container(loaded(render(CASES["everything"])), "server")["env"]]
    place = Place.from_environment({name: name for name in variables})
    assert place == Place("POD_NAME", "NAMESPACE", "NODE_NAME", "SERVICE_NAME", "INGRESS_NAME")


def test_the_gateway_calls_each_pod_of_the_server_by_the_headless_service() -> None:
    manifests = loaded(render())
    variables = checks.environment(container(manifests, "gateway"))
    service = of_kind(manifests, "Service", variables["GRPC_SERVER_HOST"])
    assert service["spec"]["clusterIP"] == "None"
    assert variables["GRPC_CLIENT_BALANCE"] == "round_robin"
    assert variables["GRPC_SERVER_PORT"] == str(service["spec"]["ports"][0]["port"])


def test_pods_follow_open_streams() -> None:
    scaler = of_kind(loaded(render(CASES["everything"])), "HorizontalPodAutoscaler", "echo-server")
    (metric,) = scaler["spec"]["metrics"]
    assert metric["pods"]["metric"]["name"] == VALUES["server"]["autoscaling"]["metric"]
    assert metric["pods"]["target"] == {"type": "AverageValue", "averageValue": "500"}


def test_what_pods_follow_is_measured() -> None:
    names = pytest.importorskip("echo.telemetry.names")
    prometheus = pytest.importorskip("echo.telemetry.prometheus")
    measured = {prometheus.prometheus_name(each.name, each.unit, each.kind) for each in names.INSTRUMENTS}
    assert {VALUES[name]["autoscaling"]["metric"] for name in ("server", "gateway")} <= measured
    rule = (CHART / "templates/autoscaling.yaml").read_text()
    assert all(VALUES[name]["autoscaling"]["metric"] in rule for name in ("server", "gateway"))


def test_the_probe_is_a_job_that_helm_test_runs_or_follows_a_schedule() -> None:
    job = of_kind(loaded(render({"probe": {"enabled": True}})), "Job", "echo-probe")
    assert job["metadata"]["annotations"]["helm.sh/hook"] == "test"
    assert job["spec"]["backoffLimit"] == 0
    manifests = loaded(render(CASES["everything"]))
    assert of_kind(manifests, "CronJob", "echo-probe")["spec"]["schedule"] == "17 * * * *"
    assert of_kind(manifests, "ConfigMap", "echo-probe-expected")["data"]["report.json"].strip() == REPORT
    assert container(manifests, "probe")["args"][-1] == "--expect=/expected/report.json"


def test_the_probe_bypasses_the_path_in_the_protocol_that_the_server_speaks() -> None:
    plain = container(loaded(render({"probe": {"enabled": True}})), "probe")["args"]
    assert "--direct=echo-server-headless:8081" in plain
    secured = container(loaded(render({**TLS, "probe": {"enabled": True}})), "probe")["args"]
    assert "--direct=https://echo-server-headless:8081" in secured
    assert "--server-name=echo-server" in secured


def test_the_probe_of_an_ingress_bypasses_it_by_default_only_where_that_needs_no_other_ca() -> None:
    probe = {"probe": {"enabled": True, "target": "https://grpc.example.com"}}
    plain = container(loaded(render(probe)), "probe")["args"]
    assert "--direct=echo-server-headless:8081" in plain
    secured = container(loaded(render({**TLS, **probe})), "probe")["args"]
    assert not [each for each in secured if each.startswith(("--direct", "--ca", "--tls"))]


def test_the_notes_name_what_is_there() -> None:
    done = helm("install", "echo", str(CHART), "--dry-run=client", values={"probe": {"enabled": True}})
    notes = done.stdout[done.stdout.index("NOTES:") :]
    assert re.search(r"port-forward service/echo-gateway 8080:80\n", notes)
    assert "echo-server.default:8081" in notes
    assert "helm --namespace default test echo --logs" in notes
