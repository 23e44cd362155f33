"""The server's role on a connection: requests come in, responses go out (gRPC over HTTP/2, "Responses")."""

import math
from typing import Final, cast

import h2.events as h2_events
from h2.errors import ErrorCodes

from echo.wire.connection import Connection, Stream, fields_of
from echo.wire.errors import LocalProtocolError
from echo.wire.events import Event, HalfClosed, RequestStarted
from echo.wire.head import Rejected, Request, Response, Trailers, parse_request
from echo.wire.http2 import FloodError
from echo.wire.http2_stream import Headers
from echo.wire.limits import Limits

MAX_PING_STRIKES: Final = 2


class ServerConnection(Connection):
    """The server's role: requests come in, responses go out."""

    _resets_cost = True

    def __init__(self, limits: Limits) -> None:
        super().__init__(limits, client=False)
        self._ping_strikes = 0
        self._last_ping = -math.inf
        self._translate[h2_events.PingReceived] = self._on_ping
        self._translate[h2_events.RequestReceived] = self._on_request
        self._translate[h2_events.StreamEnded] = self._on_stream_ended

    def send_response(self, stream_id: int, response: Response) -> None:
        """Queue the response's head.

        Raises:
            LocalProtocolError: It was already sent, or the stream is over.
            ValueError, TypeError: The metadata cannot be sent.
        """
        stream = self._sending(stream_id)
        if stream.head_sent:
            raise LocalProtocolError(f"the head of stream {stream_id} was already sent")
        self._h2.send_fields(stream_id, response.fields())
        stream.head_sent = True
        self._spoke = True

    def send_trailers(self, stream_id: int, trailers: Trailers) -> bool:
        """End the call once its messages are sent; tell whether that could be done on the spot.

        If not, the stream is over when `take_relieved` names it and `is_open` denies it.

        Raises:
            LocalProtocolError: The call was already ended, or the stream is over.
            ValueError, TypeError: The metadata cannot be sent.
        """
        stream = self._sending(stream_id)
        stream.end = trailers.fields(with_head=not stream.head_sent)
        while self._send_frame(stream) and self._h2.output_size < self._limits.max_output:
            pass
        if stream_id in self._streams:
            if stream.outbound and self._h2.local_flow_control_window(stream_id) > 0:
                self._enqueue(stream)
            return False
        return True

    def abort(self, stream_id: int, trailers: Trailers) -> None:
        """End the call now, leaving out what has not been sent; does nothing to a stream that is over.

        A message may be cut short by it. The client hears why, which a reset could not tell it.
        """
        stream = self._streams.get(stream_id)
        if stream is not None:
            stream.outbound.clear()
            stream.end = None
            self.send_trailers(stream_id, trailers)

    def _ended_locally(self, stream: Stream) -> None:
        self._forget(stream)
        if not stream.peer_ended:
            # The response is complete before the request: tell the client to stop sending (RFC 9113 §8.1).
            self._h2.reset_stream(stream.id, ErrorCodes.NO_ERROR)
        self._h2.forget_if_closed(stream.id)

    def _on_ping(self, event: h2_events.PingReceived) -> None:  # noqa: ARG002 - h2 has answered it
        # Like other gRPC servers: who pings for no other reason than to ask whether we are there shall not do it too
        # often. PINGs that measure the bandwidth come with messages of ours, and do not count.
        if self._spoke:
            self._ping_strikes = 0
        elif self._now - self._last_ping < self._limits.min_ping_interval:
            self._ping_strikes += 1
            if self._ping_strikes > MAX_PING_STRIKES:
                raise FloodError("too_many_pings")
        self._spoke = False
        self._last_ping = self._now

    def _on_request(self, event: h2_events.RequestReceived) -> Event | None:
        stream_id = event.stream_id
        headers = event.headers
        assert isinstance(headers, Headers)  # As our streams report them.
        try:
            if headers.parsed is None:
                headers.parsed = parse_request(fields_of(event))
        except Rejected as rejected:
            self._h2.send_fields(stream_id, rejected.fields, end=True)
            if event.stream_ended is None:
                self._h2.reset_stream(stream_id, ErrorCodes.NO_ERROR)
            self._h2.forget_if_closed(stream_id)
            return None
        self._streams[stream_id] = Stream(stream_id)
        return RequestStarted(stream_id, cast("Request", headers.parsed))

    def _on_stream_ended(self, event: h2_events.StreamEnded) -> Event | None:
        stream = self._streams.get(event.stream_id)
        if stream is None:
            return None
        stream.peer_ended = True
        return HalfClosed(event.stream_id)
