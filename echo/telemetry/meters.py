"""Everything that one process counts, in one snapshot."""

import time
from collections.abc import Callable, Iterable
from importlib.metadata import PackageNotFoundError, version
from itertools import chain

from echo.access_log import AccessLog
from echo.telemetry import names
from echo.telemetry.client import ClientMeter
from echo.telemetry.process import process_metrics, start_time
from echo.telemetry.server import ServerMeter
from echo.telemetry.snapshot import Attributes, Metric, Snapshot
from echo.telemetry.web import WebMeter
from echo.tls_files import TlsFiles

__all__ = ["Meters"]

Source = Callable[[], Iterable[Metric]]


class Meters:
    """The meters of a process, created on demand.

    Args:
        instance: Identifies the process among others of its kind; ``service.instance.id``.
        service: ``service.name``.
    """

    def __init__(self, instance: str, service: str = "echo-grpc") -> None:
        self._resource: Attributes = (
            ("service.name", service),
            *((("service.version", found),) if (found := _version()) else ()),
            ("service.instance.id", instance),
        )
        self._started = start_time()
        self._sources: list[Source] = []
        self._logs: list[AccessLog] = []
        self._tls: list[TlsFiles] = []

    def for_server(self) -> ServerMeter:
        """A meter for a server; pass it to the server as one of its ``notes``."""
        meter = ServerMeter()
        self._sources.append(meter.metrics)
        return meter

    def for_client(self, target: str, methods: Iterable[str]) -> ClientMeter:
        """A meter for channels to this target, which tells these methods apart."""
        meter = ClientMeter(target, methods)
        self._sources.append(meter.metrics)
        return meter

    def for_web(self, connections: Callable[[], tuple[int, int]]) -> WebMeter:
        """A meter for the gateway's HTTP requests and WebSockets."""
        meter = WebMeter(connections)
        self._sources.append(meter.metrics)
        return meter

    def watch_log(self, log: AccessLog | None) -> None:
        """Also count the lines that this access log drops."""
        if log is not None:
            self._logs.append(log)

    def watch_certificate(self, files: TlsFiles | None) -> None:
        """Also tell when the certificate of these files expires."""
        if files is not None:
            self._tls.append(files)

    def snapshot(self) -> Snapshot:
        """Everything counted so far."""
        metrics = list(chain(*(source() for source in self._sources)))
        metrics.append(names.LOG_DROPPED.alone(sum(log.dropped for log in self._logs)))
        metrics.append(names.CERTIFICATE_EXPIRY.of(self._expiries()))
        metrics.extend(process_metrics())
        return Snapshot(self._resource, self._started, time.time(), metrics)

    def _expiries(self) -> Iterable[tuple[tuple[str], float]]:
        for files in self._tls:
            if files.expires is not None:
                yield (files.certificate,), files.expires

    async def collect(self) -> Snapshot:
        """The same, for `serve_metrics`."""
        return self.snapshot()


def _version() -> str:
    """The version of echo; empty if it is not installed."""
    try:
        return version("echo-grpc")
    except PackageNotFoundError:
        return ""
