"""OTLP over HTTP: a POST of protobuf for each batch, on a persistent connection (OTLP Specification, "OTLP/HTTP").

It runs in the event loop, not in a thread, so an export can be cancelled and ends with its owner.
"""

import gzip
import random
import ssl
from collections.abc import Sequence
from contextlib import AsyncExitStack, suppress
from typing import Final
from urllib.parse import urlsplit

import anyio
import h11
from anyio.abc import ByteStream

from echo.configuration import SettingsError
from echo.telemetry.tracing.batches import ExportError
from echo.telemetry.tracing.environment import CollectorSettings
from echo.telemetry.tracing.protobuf import request
from echo.urls import DEFAULT_PORTS

__all__ = ["Collector"]

RETRYABLE: Final = frozenset({429, 502, 503, 504})
MAX_ATTEMPTS: Final = 6
MAX_ANSWER: Final = 64 * 1024  # Bytes of a response that are read. After a longer one, the connection is closed.
_CONNECTION_LOST: Final = (OSError, EOFError, anyio.EndOfStream, anyio.BrokenResourceError, anyio.ClosedResourceError)


class _TransientError(Exception):
    """An error worth a retry. ``after`` is the pause in seconds that the collector asks for, if it does."""

    def __init__(self, reason: str, after: float | None = None) -> None:
        super().__init__(reason)
        self.after = after


class Collector:
    """Sends spans to a collector. Only one task may use it; call `close` once that task has ended.

    Args:
        settings: The collector's address, and how to send.
        common: What all spans have in common, from `echo.telemetry.tracing.protobuf.resource`.

    Raises:
        SettingsError: A certificate cannot be used.
    """

    def __init__(self, settings: CollectorSettings, common: tuple[bytes, bytes]) -> None:
        self._settings = settings
        self._common = common
        url = urlsplit(settings.url)
        assert url.hostname is not None  # Checked when the environment was read.
        self._tls = _tls(settings) if url.scheme == "https" else None
        self._address = url.hostname, url.port or DEFAULT_PORTS[url.scheme]
        self._target = (url.path or "/") + (f"?{url.query}" if url.query else "")
        self._headers = [
            ("host", url.netloc.rpartition("@")[2]),
            ("user-agent", "echo-grpc"),
            ("content-type", "application/x-protobuf"),
            *([("content-encoding", "gzip")] if settings.gzip else []),
            *settings.headers,
        ]
        self._stream: ByteStream | None = None
        self._http = h11.Connection(h11.CLIENT)

    async def send(self, groups: Sequence[bytes]) -> None:
        """Send groups of spans, with several attempts if necessary.

        Raises:
            ExportError: The collector refused them, or did not accept them in time.
        """
        body = request(self._common, groups)
        if self._settings.gzip:
            body = gzip.compress(body, 1)
        reason = "it does not answer"
        with anyio.move_on_after(self._settings.timeout) as waiting:
            for attempt in range(MAX_ATTEMPTS):
                try:
                    await self._post(body)
                except _TransientError as error:
                    reason = str(error)
                    pause = 2**attempt * random.uniform(0.8, 1.2) if error.after is None else error.after  # noqa: S311
                    if attempt + 1 == MAX_ATTEMPTS or anyio.current_time() + pause > waiting.deadline:
                        break
                    await anyio.sleep(pause)
                else:
                    return
        if waiting.cancelled_caught:
            await self.close()  # A late response would be taken for the response to the next request.
        raise ExportError(f"{self._settings.url}: {reason}")

    async def close(self) -> None:
        """Close the connection."""
        stream, self._stream = self._stream, None
        if stream is not None:
            with anyio.CancelScope(shield=True), suppress(*_CONNECTION_LOST):  # Closing by force never waits.
                await anyio.aclose_forcefully(stream)

    async def _post(self, body: bytes) -> None:
        kept = self._stream is not None
        try:
            answer = await self._exchange(body)
        except _TransientError:
            if not kept:
                raise
            answer = await self._exchange(body)  # The collector had closed the persistent connection.
        status = answer.status_code
        if status in RETRYABLE:
            raise _TransientError(f"HTTP {status}", _retry_after(answer))
        if not 200 <= status < 300:
            raise ExportError(f"{self._settings.url}: HTTP {status}")

    async def _exchange(self, body: bytes) -> h11.Response:
        async with AsyncExitStack() as failing:
            failing.push_async_callback(self.close)
            try:
                stream = self._stream or await self._connect()
                head = h11.Request(
                    method="POST",
                    target=self._target,
                    headers=[*self._headers, ("content-length", str(len(body)))],
                )
                events = (head, h11.Data(data=body), h11.EndOfMessage())
                await stream.send(b"".join([self._http.send(event) or b"" for event in events]))
                answer = await self._receive(stream)
            except _CONNECTION_LOST as error:
                raise _TransientError(str(error) or type(error).__name__) from error
            except h11.ProtocolError as error:
                raise ExportError(f"{self._settings.url}: invalid HTTP/1.1: {error}") from error
            if self._http.our_state is h11.DONE and self._http.their_state is h11.DONE:
                self._http.start_next_cycle()
                failing.pop_all()  # Keep the connection.
            return answer

    async def _connect(self) -> ByteStream:
        host, port = self._address
        self._http = h11.Connection(h11.CLIENT)
        stream: ByteStream
        if self._tls is None:
            stream = await anyio.connect_tcp(host, port)
        else:
            stream = await anyio.connect_tcp(host, port, tls=True, ssl_context=self._tls, tls_standard_compatible=False)
        self._stream = stream
        return stream

    async def _receive(self, stream: ByteStream) -> h11.Response:
        answer: h11.Response | None = None
        size = 0
        while True:
            event = self._http.next_event()
            if event is h11.NEED_DATA:
                try:
                    data = await stream.receive()
                except anyio.EndOfStream:
                    if answer is None:
                        raise _TransientError("the connection was closed without an answer") from None
                    return answer
                size += len(data)
                if size > MAX_ANSWER and answer is not None:  # h11 itself limits the size of the head.
                    return answer
                self._http.receive_data(data)
            elif isinstance(event, h11.Response):
                answer = event
            elif isinstance(event, h11.EndOfMessage):
                assert answer is not None  # A response comes before its end.
                return answer


def _retry_after(answer: h11.Response) -> float | None:
    """The seconds in ``Retry-After`` (RFC 9110 §10.2.3); None if there is no such header, or if it is a date."""
    for name, value in answer.headers:
        if name == b"retry-after" and value.strip().isdigit():
            return float(value)
    return None


def _tls(settings: CollectorSettings) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=settings.certificate)
    except (OSError, ssl.SSLError) as error:
        raise SettingsError(f"OTEL_EXPORTER_OTLP_CERTIFICATE: {_reason(error)}") from None
    if settings.client_certificate is not None:
        try:
            context.load_cert_chain(settings.client_certificate, settings.client_key)
        except (OSError, ssl.SSLError) as error:
            raise SettingsError(f"OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE: {_reason(error)}") from None
    return context


def _reason(error: OSError) -> str:
    return error.strerror or str(error)
