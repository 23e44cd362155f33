"""Finds out whether OpenTelemetry's variables ask for metrics to be pushed, without importing OpenTelemetry."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from echo.configuration import SettingsError
from echo.configuration.values import POSITIVE_NUMBER

__all__ = ["Push", "wanted_push"]

ENDPOINTS: Final = ("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
PROTOCOLS: Final = ("OTEL_EXPORTER_OTLP_METRICS_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
EXPORTER: Final = "OTEL_METRICS_EXPORTER"


@dataclass(frozen=True, slots=True)
class Push:
    """How to push metrics.

    Attributes:
        interval: Seconds between pushes.
        timeout: Seconds for one push.
    """

    interval: float
    timeout: float


def wanted_push(environ: Mapping[str, str]) -> Push | None:
    """How the variables ask for metrics to be pushed; None if they do not.

    They do if an endpoint is set, or ``OTEL_METRICS_EXPORTER`` is ``otlp``.

    Raises:
        SettingsError: A variable has an invalid or unsupported value.
    """
    exporters = {name.strip() for name in environ.get(EXPORTER, "").split(",")} - {""}
    if environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true" or (exporters and "otlp" not in exporters):
        return None
    if not exporters and not any(environ.get(name) for name in ENDPOINTS):
        return None
    for name in PROTOCOLS:
        protocol = environ.get(name, "").strip()
        if protocol:
            if protocol != "http/protobuf":
                raise SettingsError(f"{name}: metrics are pushed by http/protobuf, not by {protocol!r}")
            break
    interval = _milliseconds(environ, "OTEL_METRIC_EXPORT_INTERVAL", 60_000)
    return Push(interval, _milliseconds(environ, "OTEL_METRIC_EXPORT_TIMEOUT", 30_000))


def _milliseconds(environ: Mapping[str, str], name: str, default: int) -> float:
    text = environ.get(name, "").strip() or str(default)
    try:
        return POSITIVE_NUMBER.read(text) / 1000
    except ValueError:
        raise SettingsError(f"{name}: {text[:80]!r} is not a number of milliseconds") from None
