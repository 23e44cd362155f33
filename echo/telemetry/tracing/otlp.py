"""OTLP over HTTP: a POST of protobuf for each batch, on a persistent connection (OTLP Specification, "OTLP/HTTP").

It runs in the event loop, not in a thread, so an export can be cancelled and ends with its owner. The head of requests
is made once, and h11 reads only unusual responses. With h11 alone, a sampled call would cost 1 % more.
"""

import gzip
import random
import re
from collections.abc import Sequence
from contextlib import AsyncExitStack, suppress
from typing import Final
from urllib.parse import urlsplit

import anyio
import h11
from anyio.abc import ByteStream
from google.protobuf.message import DecodeError

from echo.printable import printable
from echo.telemetry.tracing.batches import ExportError
from echo.telemetry.tracing.certificates import files_for
from echo.telemetry.tracing.environment import CollectorSettings
from echo.telemetry.tracing.protobuf import request
from echo.urls import DEFAULT_PORTS

__all__ = ["Collector"]

RETRYABLE: Final = frozenset({429, 502, 503, 504})
MAX_ATTEMPTS: Final = 6
MAX_ANSWER: Final = 64 * 1024  # Bytes of a response that are read. After a longer one, the connection is closed.
NOTHING: Final = 2  # Bytes of a response that says nothing: empty, or with an empty field.
_NO_BODY: Final = b"content-length: 0\r\n\r\n"
_OTHER_FIELDS: Final = rb"(?:(?!connection:|transfer-encoding:|content-length:)[!-9;-~]+:[ -~]*\r\n)*"
_PLAIN: Final = re.compile(
    rb"(?i)HTTP/1\.1 200 [ -~]*\r\n"
    + _OTHER_FIELDS
    + rb"content-length: *([0-9]{1,9}) *\r\n"
    + _OTHER_FIELDS
    + rb"\r\n"
)
_CONNECTION_LOST: Final = (OSError, EOFError, anyio.EndOfStream, anyio.BrokenResourceError, anyio.ClosedResourceError)


class _TransientError(Exception):
    """An error worth a retry. ``after`` is the pause in seconds that the collector asks for, if any."""

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
        self._tls = files_for(settings) if url.scheme == "https" else None
        self._address = url.hostname, url.port or DEFAULT_PORTS[url.scheme]
        self._target = (url.path or "/") + (f"?{url.query}" if url.query else "")
        self._headers = [
            ("host", url.netloc.rpartition("@")[2]),
            ("user-agent", "echo-grpc"),
            ("content-type", "application/x-protobuf"),
            *([("content-encoding", "gzip")] if settings.gzip else []),
            *settings.headers,
        ]
        self._head: bytes | None = None  # The head of all requests, up to their size.
        self._stream: ByteStream | None = None

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
            answer, said = await self._exchange(body)
        except _TransientError:
            if not kept:
                raise
            answer, said = await self._exchange(body)  # The collector had closed the persistent connection.
        status = 200 if answer is None else answer.status_code
        if answer is not None and status in RETRYABLE:
            raise _TransientError(f"HTTP {status}", _retry_after(answer))
        if not 200 <= status < 300:
            raise ExportError(f"{self._settings.url}: HTTP {status}")
        if len(said) > NOTHING:
            self._check(said)

    def _check(self, body: bytes) -> None:
        """Raise `ExportError` if a response says that spans were rejected (OTLP Specification, "Partial Success")."""
        from opentelemetry.proto.collector.trace.v1 import trace_service_pb2  # noqa: PLC0415 - Hardly ever needed.

        with suppress(DecodeError):
            found = trace_service_pb2.ExportTraceServiceResponse.FromString(body).partial_success
            if found.rejected_spans > 0:
                reason = f"it rejected {found.rejected_spans} spans: {printable(found.error_message)}"
                raise ExportError(f"{self._settings.url}: {reason}", found.rejected_spans)

    async def _exchange(self, body: bytes) -> tuple[h11.Response | None, bytes]:
        """Send a request and receive the response; see `_receive`."""
        async with AsyncExitStack() as failing:
            failing.push_async_callback(self.close)
            try:
                if self._head is None:
                    self._head = self._begin(h11.Connection(h11.CLIENT)).removesuffix(_NO_BODY)
                stream = self._stream or await self._connect()
                await stream.send(b"%bcontent-length: %d\r\n\r\n%b" % (self._head, len(body), body))
                http = h11.Connection(h11.CLIENT)
                answer, said = await self._receive(stream, http)
            except _CONNECTION_LOST as error:
                raise _TransientError(str(error) or type(error).__name__) from error
            except h11.ProtocolError as error:
                raise ExportError(f"{self._settings.url}: invalid HTTP/1.1: {error}") from error
            if answer is None or (http.our_state is http.their_state is h11.DONE and not http.trailing_data[0]):
                failing.pop_all()  # Keep the connection.
            return answer, said

    def _begin(self, http: h11.Connection) -> bytes:
        """Tell h11 that a request was sent, as if without a body: that is all it must know to read the response.

        Returns:
            The head of this request.
        """
        headers = [*self._headers, ("content-length", "0")]
        head = http.send(h11.Request(method="POST", target=self._target, headers=headers))
        http.send(h11.EndOfMessage())
        return head or b""

    async def _connect(self) -> ByteStream:
        host, port = self._address
        stream: ByteStream
        if self._tls is None:
            stream = await anyio.connect_tcp(host, port)
        else:
            self._tls.reload()  # Connections are kept, so this is seldom enough.
            context = self._tls()
            stream = await anyio.connect_tcp(host, port, tls=True, ssl_context=context, tls_standard_compatible=False)
        self._stream = stream
        return stream

    async def _receive(self, stream: ByteStream, http: h11.Connection) -> tuple[h11.Response | None, bytes]:
        """Receive a response and its body, with h11 unless it is a plain one; that is returned as None."""
        answer: h11.Response | None = None
        body = b""
        size = 0
        while True:
            event = http.next_event() if size else h11.NEED_DATA
            if event is h11.NEED_DATA:
                try:
                    data = await stream.receive()
                except anyio.EndOfStream:
                    if answer is None:
                        raise _TransientError("the connection was closed without an answer") from None
                    return answer, body
                if not size:
                    plain = _body_of_plain(data)
                    if plain is not None:
                        return None, plain
                    self._begin(http)
                size += len(data)
                if size > MAX_ANSWER and answer is not None:  # h11 itself limits the size of the head.
                    return answer, body
                http.receive_data(data)
            elif isinstance(event, h11.Response):
                answer = event
            elif isinstance(event, h11.Data):
                body += event.data
            elif isinstance(event, h11.EndOfMessage):
                assert answer is not None  # A response comes before its end.
                return answer, body


def _body_of_plain(data: bytes) -> bytes | None:
    """The body, if this is a whole response with status 200, after which the connection stays open."""
    head = _PLAIN.match(data)
    return data[head.end() :] if head is not None and int(head[1]) == len(data) - head.end() else None


def _retry_after(answer: h11.Response) -> float | None:
    """The seconds in ``Retry-After`` (RFC 9110 §10.2.3); None if there is no such header, or if it is a date."""
    for name, value in answer.headers:
        if name == b"retry-after" and value.strip().isdigit():
            return float(value)
    return None
