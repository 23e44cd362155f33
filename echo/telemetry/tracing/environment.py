"""Reads OpenTelemetry's variables for traces, without loading OpenTelemetry.

Tracing is on if ``OTEL_TRACES_EXPORTER`` names an exporter, or if that is not set but an endpoint is. Names and
defaults come from OpenTelemetry's specification ("Environment Variable Specification", "OTLP Exporter"). Where its
Python SDK differs, we follow the SDK: the exporter's timeout is in seconds, the delay of batches in milliseconds.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple
from urllib.parse import unquote, urlsplit

from echo.configuration import SettingsError
from echo.configuration.values import POSITIVE_NUMBER
from echo.urls import DEFAULT_PORTS

__all__ = ["CollectorSettings", "Named", "TracingSettings", "read_environment"]

EXPORTERS: Final = ("otlp", "console")
PROPAGATORS: Final = ("tracecontext", "baggage", "b3", "b3multi")
NAMES: Final = ("OTEL_TRACES_EXPORTER", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
DEFAULT_ENDPOINT: Final = "http://localhost:4318"


class Named(NamedTuple):
    """A value and the variable that has it."""

    variable: str
    value: str


@dataclass(frozen=True, slots=True)
class CollectorSettings:
    """A collector that speaks OTLP.

    Attributes:
        url: Its URL, such as ``http://collector:4318/v1/traces``.
        headers: Headers to send with each request.
        timeout: Seconds that the export of a batch may take, including retries.
        gzip: Whether to compress.
        certificate: The file with the trusted certificate authorities; None for the system's.
        client_certificate: The file with our client certificate; None for none.
        client_key: The file with its key, unless the key is in the same file.
    """

    url: str
    headers: tuple[tuple[str, str], ...] = ()
    timeout: float = 10.0
    gzip: bool = False
    certificate: Named | None = None
    client_certificate: Named | None = None
    client_key: Named | None = None


@dataclass(frozen=True, slots=True)
class TracingSettings:
    """How to trace.

    Attributes:
        enabled_by: The variable that turns tracing on.
        collector: Where spans are sent; None for standard output.
        propagators: The header formats in which the context of a trace is sent and accepted.
        sampler: The name of the sampler; empty for the default.
        most: The maximum number of spans in the queue; further ones are dropped.
        batch: The number of spans that are exported together.
        delay: The longest time in seconds that a span waits for others.
    """

    enabled_by: str
    collector: CollectorSettings | None
    propagators: frozenset[str] = frozenset(PROPAGATORS[:2])
    sampler: str = ""
    most: int = 2048
    batch: int = 512
    delay: float = 5.0


def read_environment(environ: Mapping[str, str]) -> TracingSettings | None:
    """The settings from the environment; None if it does not enable traces.

    Raises:
        SettingsError: A value is invalid or not supported.
    """
    given = {name: text.strip() for name, text in environ.items() if name.startswith("OTEL_") and text.strip()}
    exporter = given.get("OTEL_TRACES_EXPORTER", "").lower()
    enabled_by = next((name for name in NAMES if name in given), None)
    if given.get("OTEL_SDK_DISABLED", "").lower() == "true" or enabled_by is None or exporter == "none":
        return None
    if exporter and exporter not in EXPORTERS:
        raise SettingsError(f"OTEL_TRACES_EXPORTER: {exporter[:80]!r} is not one of otlp, console, none")
    found = given.get("OTEL_PROPAGATORS", "tracecontext,baggage").lower().split(",")
    propagators = frozenset(name.strip() for name in found) - {"none", ""}
    if unknown := sorted(propagators - set(PROPAGATORS)):
        raise SettingsError(f"OTEL_PROPAGATORS: {unknown[0][:80]!r} is not one of {', '.join(PROPAGATORS)}, none")
    most = _number(given, "OTEL_BSP_MAX_QUEUE_SIZE", 2048)
    return TracingSettings(
        enabled_by,
        None if exporter == "console" else _collector(given),
        propagators,
        given.get("OTEL_TRACES_SAMPLER", "").lower(),
        most,
        min(most, _number(given, "OTEL_BSP_MAX_EXPORT_BATCH_SIZE", 512)),
        _number(given, "OTEL_BSP_SCHEDULE_DELAY", 5000) / 1000,
    )


def _collector(given: Mapping[str, str]) -> CollectorSettings:
    def own(variable: str) -> Named:
        """The variable for traces, or else the one for all signals; the value is empty if it is not set."""
        name = f"OTEL_EXPORTER_OTLP_TRACES_{variable}"
        if name not in given:
            name = f"OTEL_EXPORTER_OTLP_{variable}"
        return Named(name, given.get(name, ""))

    def file(variable: str) -> Named | None:
        found = own(variable)
        return found if found.value else None

    name, protocol = own("PROTOCOL")
    if protocol not in ("", "http/protobuf"):
        raise SettingsError(f"{name}: {protocol[:80]!r}: spans are sent by http/protobuf only")
    name = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"
    url = given.get(name)
    if url is None:
        name = "OTEL_EXPORTER_OTLP_ENDPOINT"
        url = f"{given.get(name, DEFAULT_ENDPOINT).rstrip('/')}/v1/traces"
    if not _is_http(url):
        raise SettingsError(f"{name}: {given[name][:80]!r} is not a URL like http://collector:4318")
    name, compression = own("COMPRESSION")
    if compression.lower() not in ("", "none", "gzip"):
        raise SettingsError(f"{name}: {compression[:80]!r} is not one of gzip, none")
    return CollectorSettings(
        url,
        _headers(*own("HEADERS")),
        _seconds(*own("TIMEOUT")),
        compression.lower() == "gzip",
        file("CERTIFICATE"),
        file("CLIENT_CERTIFICATE"),
        file("CLIENT_KEY"),
    )


def _is_http(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return parts.scheme in DEFAULT_PORTS and bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        return False


def _headers(variable: str, text: str) -> tuple[tuple[str, str], ...]:
    """Parse headers in the format of W3C's baggage: ``name=value,name=value``, percent-encoded."""
    pairs = (item.partition("=") for item in text.split(",") if item.strip())
    headers = []
    for name, equals, value in pairs:
        name, value = unquote(name).strip().lower(), unquote(value).strip()
        if not (equals and name.isascii() and name.replace("-", "").replace("_", "").isalnum()):
            raise SettingsError(f"{variable}: must be name=value,name=value")
        if not (value.isascii() and value.isprintable()):
            raise SettingsError(f"{variable}: the value of {name} must be printable ASCII")
        headers.append((name, value))
    return tuple(headers)


def _seconds(variable: str, text: str) -> float:
    try:
        seconds = float(text or 10)
    except ValueError:
        seconds = math.nan
    if not 0 < seconds < math.inf:
        raise SettingsError(f"{variable}: {text[:80]!r} is not a positive number of seconds")
    return seconds


def _number(given: Mapping[str, str], name: str, default: int) -> int:
    text = given.get(name, str(default))
    try:
        return POSITIVE_NUMBER.read(text)
    except ValueError:
        raise SettingsError(f"{name}: {text[:80]!r} is not a positive number") from None
