"""What must hold of manifests taken together, however they were made: schemas, and names that agree."""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import kubernetes_validate

from echo.cli.probe import probe_command
from echo.configuration.values import to_duration
from echo.settings import SETTINGS, User, load_settings
from tests.deploy.tools import Manifest

__all__ = ["containers", "disagreements", "environment", "invalid", "pods", "separate"]

VERSIONS = ("1.27", "1.30", "1.37")  # The oldest that the chart takes, the first where Kubernetes sleeps, the newest.
NEWEST = VERSIONS[-1]
CUSTOM = re.compile(r"(gateway\.networking\.k8s\.io|monitoring\.coreos\.com)/")
PLACE = {"POD_NAME", "NAMESPACE", "NODE_NAME", "SERVICE_NAME", "INGRESS_NAME"}
# Of rooms that are still being built; theirs in `SETTINGS` once they are there.
EXPECTED_SETTINGS = {"WORKERS"}
CLOSING = 2  # Seconds that echo takes at most to close what SHUTDOWN_GRACE has left.


def separate(manifests: Sequence[Manifest]) -> tuple[list[Manifest], list[Manifest]]:
    """Kubernetes' own kinds, and those of others."""
    own = [each for each in manifests if not CUSTOM.match(each["apiVersion"])]
    return own, [each for each in manifests if CUSTOM.match(each["apiVersion"])]


def invalid(manifests: Sequence[Manifest], version: str) -> list[str]:
    """What Kubernetes' own schemas of this version, made strict, say against its own kinds."""
    found = []
    for each in manifests:
        try:
            kubernetes_validate.validate(each, version, strict=True)
        except kubernetes_validate.ValidationError as error:
            found.append(f"{name(each)}: {list(error.path)}: {error.message}")
    return found


def name(manifest: Manifest) -> str:
    return f"{manifest['kind']} {manifest['metadata']['name']}"


def pods(manifests: Sequence[Manifest]) -> Iterator[tuple[str, Manifest]]:
    """Every pod's template and whose it is."""
    for each in manifests:
        spec = each.get("spec", {})
        spec = spec.get("jobTemplate", {}).get("spec", spec)
        if "template" in spec:
            yield name(each), spec["template"]


def containers(manifests: Sequence[Manifest]) -> Iterator[tuple[str, Manifest, Manifest]]:
    """Every container, its pod's template, and whose that is."""
    for whose, pod in pods(manifests):
        for container in pod["spec"]["containers"]:
            yield whose, pod, container


def environment(container: Manifest) -> dict[str, str]:
    """The variables that have a value."""
    return {each["name"]: each["value"] for each in container["env"] if "value" in each}


def disagreements(manifests: Sequence[Manifest]) -> list[str]:
    """Everything that names something that is not there, or that echo would not understand."""
    found: list[str] = []
    for whose, pod, container in containers(manifests):
        for check in (_variables, _command_line, _mounts, _probes, _grace, _security):
            found += (f"{whose}: {fault}" for fault in check(pod, container))
    for each in manifests:
        check_of = {"Service": _service, "NetworkPolicy": _policy, "Ingress": _ingress, "ServiceMonitor": _monitor}
        check_of |= {"GRPCRoute": _route, "HTTPRoute": _route, "HorizontalPodAutoscaler": _scaler}
        check_of |= {"PodDisruptionBudget": _budget, "Deployment": _deployment}
        if each["kind"] in check_of:
            found += (f"{name(each)}: {fault}" for fault in check_of[each["kind"]](each, manifests))
    return found


def _variables(_: Manifest, container: Manifest) -> Iterator[str]:
    names = [each["name"] for each in container["env"]]
    known = {setting.variable for setting in SETTINGS} | PLACE | EXPECTED_SETTINGS
    yield from (f"{name} is no setting" for name in names if name not in known)
    yield from (f"{name} is set twice" for name in set(names) if names.count(name) > 1)
    user = {"serve": User.SERVER, "gateway": User.GATEWAY}.get(container["args"][0])
    if user is not None:
        load_settings({"GRPC_SERVER_HOST": "x", **environment(container)}, user)  # Raises what is wrong with them.
        wanted = {setting.variable for setting in SETTINGS if setting.used_by & user} | PLACE | EXPECTED_SETTINGS
        yield from (f"{name} is not for it" for name in names if name not in wanted)
        yield from (f"{name} is missing" for name in PLACE - {"INGRESS_NAME"} if name not in names)


def _command_line(_: Manifest, container: Manifest) -> Iterator[str]:
    program, *arguments = container["args"]
    if program == "probe":
        probe_command().make_context("probe", list(arguments))  # Raises what is wrong with it.
    elif program not in {"serve", "gateway"} or arguments:
        yield f"no such command: {container['args']}"


def _mounts(pod: Manifest, container: Manifest) -> Iterator[str]:
    volumes = {each["name"]: each for each in pod["spec"].get("volumes", [])}
    files = set()
    for mount in container.get("volumeMounts", []):
        volume = volumes.pop(mount["name"])
        items = volume["secret"]["items"] if "secret" in volume else [{"path": "report.json"}]
        files |= {f"{mount['mountPath']}/{item['path']}" for item in items}
    yield from (f"volume {name} is not mounted" for name in volumes)
    values = [*environment(container).values(), *(text.partition("=")[2] for text in container["args"])]
    named = {value for value in values if value.startswith("/") and "//" not in value}
    yield from (f"{path} is not there" for path in named - files)
    yield from (f"{path} is not used" for path in files - named)


def _probes(_: Manifest, container: Manifest) -> Iterator[str]:
    if "ports" not in container:
        return
    ports = {each["name"]: each["containerPort"] for each in container["ports"]}
    variables = environment(container)
    settings = {
        "grpc": "GRPC_SERVER_PORT",
        "health": "GRPC_HEALTH_PORT",
        "http": "HTTP_PORT",
        "metrics": "METRICS_PORT",
    }
    yield from (
        f"port {each} is not listened on" for each in ports if variables.get(settings[each]) != str(ports[each])
    )
    expected = {"health"} & set(ports) or {"grpc", "http"} & set(ports)
    for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
        asked = container[probe].get("grpc") or container[probe]["httpGet"]
        if asked["port"] not in expected | {ports[each] for each in expected}:
            yield f"{probe} asks port {asked['port']}"
        scheme = "HTTPS" if "HTTP_CERT" in variables else "HTTP"
        if asked.get("scheme", scheme) != scheme:
            yield f"{probe} does not speak {scheme}"


def _grace(pod: Manifest, container: Manifest) -> Iterator[str]:
    variables = environment(container)
    if "SHUTDOWN_GRACE" not in variables:
        return
    hook = container.get("lifecycle", {}).get("preStop", {})
    seconds = hook.get("sleep", {}).get("seconds", 0)
    if "exec" in hook:
        seconds = int(re.findall(r"sleep\((\d+)\)", hook["exec"]["command"][-1])[0])
    takes = seconds + to_duration(variables["SHUTDOWN_GRACE"]) + CLOSING
    if pod["spec"]["terminationGracePeriodSeconds"] <= takes:
        yield f"is killed before it has stopped, which takes {takes} s"


def _security(pod: Manifest, container: Manifest) -> Iterator[str]:
    of_pod, of_container = pod["spec"]["securityContext"], container["securityContext"]
    known = of_pod.get("runAsUser") in (None, 65532)  # None leaves it to the cluster.
    if not (of_pod["runAsNonRoot"] and known and of_container["readOnlyRootFilesystem"]):
        yield "may be root, or write"
    if of_container["capabilities"] != {"drop": ["ALL"]} or of_container["allowPrivilegeEscalation"]:
        yield "has capabilities"
    if of_pod["seccompProfile"]["type"] != "RuntimeDefault" or pod["spec"]["automountServiceAccountToken"]:
        yield "may do more than it has to"
    if pod["spec"]["enableServiceLinks"]:
        yield "gets variables about Services"


def _selected(labels: Mapping[str, str], manifests: Sequence[Manifest]) -> list[Manifest]:
    return [pod for _, pod in pods(manifests) if labels.items() <= pod["metadata"]["labels"].items()]


def _ports(pod: Manifest) -> set[str | int]:
    ports = [port for container in pod["spec"]["containers"] for port in container.get("ports", [])]
    return {port["name"] for port in ports} | {port["containerPort"] for port in ports}


def _service(service: Manifest, manifests: Sequence[Manifest]) -> Iterator[str]:
    spec = service["spec"]
    chosen = [pod for pod in _selected(spec["selector"], manifests) if "ports" in pod["spec"]["containers"][0]]
    if not chosen:
        yield "selects no pods"
    for port in spec["ports"]:
        yield from (f"no port {port['targetPort']}" for pod in chosen if port["targetPort"] not in _ports(pod))
        if spec.get("clusterIP") == "None":  # Its clients see the pods' own ports.
            yield from (f"the pods have no port {port['port']}" for pod in chosen if port["port"] not in _ports(pod))


def _policy(policy: Manifest, manifests: Sequence[Manifest]) -> Iterator[str]:
    (pod,) = _selected(policy["spec"]["podSelector"]["matchLabels"], manifests)
    let_in = {port["port"] for rule in policy["spec"]["ingress"] for port in rule["ports"]}
    yield from (f"lets in to {port}, which is not there" for port in let_in - _ports(pod))
    wanted = {port for port in ("grpc", "http", "metrics") if port in _ports(pod)}
    yield from (f"keeps {port} closed" for port in wanted - let_in)


def _find(manifests: Sequence[Manifest], kind: str, called: str) -> Manifest | None:
    return next((each for each in manifests if (each["kind"], each["metadata"]["name"]) == (kind, called)), None)


def _backend(manifests: Sequence[Manifest], called: str, port: str | int) -> Iterator[str]:
    service = _find(manifests, "Service", called)
    if service is None:
        yield f"no Service {called}"
    elif port not in {value for each in service["spec"]["ports"] for value in (each["name"], each["port"])}:
        yield f"Service {called} has no port {port}"


def _ingress(ingress: Manifest, manifests: Sequence[Manifest]) -> Iterator[str]:
    for rule in ingress["spec"]["rules"]:
        if [rule["host"]] != ingress["spec"]["tls"][0]["hosts"]:
            yield f"no TLS for {rule['host']}"
        for path in rule["http"]["paths"]:
            service = path["backend"]["service"]
            yield from _backend(manifests, service["name"], service["port"]["name"])
            secure = (_find(manifests, "Service", service["name"]) or {})["spec"]["ports"][0]["appProtocol"] == "https"
            key = "nginx.ingress.kubernetes.io/backend-protocol"
            if ingress["metadata"]["annotations"].get(key, "HTTP").endswith("S") is not secure:
                yield "speaks otherwise than its Service"


def _route(route: Manifest, manifests: Sequence[Manifest]) -> Iterator[str]:
    for rule in route["spec"]["rules"]:
        for backend in rule["backendRefs"]:
            yield from _backend(manifests, backend["name"], backend["port"])


def _monitor(monitor: Manifest, manifests: Sequence[Manifest]) -> Iterator[str]:
    labels = monitor["spec"]["selector"]["matchLabels"]
    chosen = [
        each for each in manifests if each["kind"] == "Service" and labels.items() <= each["metadata"]["labels"].items()
    ]
    if len(chosen) != 1:
        yield f"selects {len(chosen)} Services"
    named = {port["name"] for each in chosen for port in each["spec"]["ports"]}
    yield from (f"no port {each['port']}" for each in monitor["spec"]["endpoints"] if each["port"] not in named)


def _scaler(scaler: Manifest, manifests: Sequence[Manifest]) -> Iterator[str]:
    target = scaler["spec"]["scaleTargetRef"]
    deployment = _find(manifests, target["kind"], target["name"])
    if deployment is None:
        yield f"no {target}"
    elif "replicas" in deployment["spec"]:
        yield "its Deployment has a number of replicas, which every apply would go back to"


def _budget(budget: Manifest, manifests: Sequence[Manifest]) -> Iterator[str]:
    if len(_selected(budget["spec"]["selector"]["matchLabels"], manifests)) != 1:
        yield "selects no pods, or those of several"


def _deployment(deployment: Manifest, manifests: Sequence[Manifest]) -> Iterator[str]:
    spec: Any = deployment["spec"]
    selected = spec["selector"]["matchLabels"]
    if len(_selected(selected, manifests)) != 1:
        yield "selects other pods besides its own"
    if not selected.items() <= spec["template"]["metadata"]["labels"].items():
        yield "does not select its own pods"
    for constraint in spec["template"]["spec"]["topologySpreadConstraints"]:
        if constraint["labelSelector"]["matchLabels"] != selected:
            yield "spreads other pods than its own"
