"""The part of deploy/kustomize that Helm renders from the chart, a file for each template; run by ``just manifests``.

So there is one source. The value ``managedBy`` leaves out what only Helm uses.
"""

from pathlib import Path

from tests.deploy.tools import KUSTOMIZE, render

_HEAD = "# Made from the chart by `just manifests`: change deploy/helm/echo instead.\n"
_BASE = ("disruption", "gateway", "monitoring", "networkpolicy", "server", "services")
_MONITORING = {"metrics": {"serviceMonitor": {"enabled": True}}}
_PROBE = {"probe": {"enabled": True, "schedule": "17 * * * *", "expectedConfigMap": "echo-probe-expected"}}
_SCALED = {name: {"autoscaling": {"enabled": True}} for name in ("server", "gateway")}


def rendered() -> dict[Path, str]:
    """Every file and what belongs in it."""
    files = {KUSTOMIZE / f"base/{name}.yaml": _template(name, {}) for name in _BASE}
    components: tuple[tuple[str, str, dict[str, object]], ...] = (
        ("ingress-nginx/ingress", "ingress", {"ingress": {"enabled": True}}),
        ("gateway-api/gatewayapi", "gatewayapi", {"gatewayApi": {"enabled": True}}),
        ("autoscaling/autoscaling", "autoscaling", {**_SCALED}),
        ("probe/probe", "probe", {**_PROBE}),
    )
    for path, name, values in components:
        files[KUSTOMIZE / f"components/{path}.yaml"] = _template(name, values)
    service, monitor = _template("monitoring", {**_MONITORING}).split("---\n", 1)
    assert "kind: Service\n" in service
    files[KUSTOMIZE / "components/monitoring/servicemonitor.yaml"] = _HEAD + monitor
    return files


def _template(name: str, values: dict[str, object]) -> str:
    flags = ("--show-only", f"templates/{name}.yaml")
    text = render({"managedBy": "kustomize", **values}, *flags)
    lines = [line.rstrip() for line in text.splitlines() if not line.startswith("# Source:")]
    return _HEAD + "\n".join(lines).strip().removeprefix("---\n") + "\n"


if __name__ == "__main__":
    for path, text in rendered().items():
        path.write_text(text)
