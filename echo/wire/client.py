"""The client's role on a connection: requests go out, responses come in (gRPC over HTTP/2, "Requests")."""

import h2.events as h2_events
from h2.errors import ErrorCodes
from h2.exceptions import NoAvailableStreamIDError

from echo.wire.connection import END_STREAM, Connection, Stream, fields_of
from echo.wire.errors import LocalProtocolError
from echo.wire.events import CallEnded, Event, ResponseStarted
from echo.wire.head import Request, Trailers, parse_response, parse_trailers
from echo.wire.limits import Limits
from echo.wire.status import Status


class ClientConnection(Connection):
    """The client's role: requests go out, responses come in."""

    def __init__(self, limits: Limits) -> None:
        super().__init__(limits, client=True)
        self._translate[h2_events.ResponseReceived] = self._on_response
        self._translate[h2_events.TrailersReceived] = self._on_trailers
        self._translate[h2_events.StreamEnded] = self._on_stream_ended

    @property
    def max_streams(self) -> int:
        """How many streams the server allows at once (RFC 9113 §5.1.2)."""
        return self._h2.remote_settings.max_concurrent_streams

    def open(self, request: Request, *, end: bool = False) -> int:
        """Queue a request's head, with ``end`` as all there is to send; returns the new stream's id.

        Raises:
            LocalProtocolError: The connection has no stream ids left.
            ValueError, TypeError: The metadata cannot be sent.
        """
        fields = request.fields()
        try:
            stream_id = self._h2.get_next_available_stream_id()
        except NoAvailableStreamIDError as error:
            raise LocalProtocolError(str(error)) from error
        self._h2.send_fields(stream_id, fields, end=end)
        stream = self._streams[stream_id] = Stream(stream_id)
        stream.head_sent = True
        if end:
            stream.end = END_STREAM
        return stream_id

    def half_close(self, stream_id: int) -> None:
        """Send nothing more on the stream once its messages are sent.

        Raises:
            LocalProtocolError: The stream was already half-closed, or is over.
        """
        stream = self._sending(stream_id)
        stream.end = END_STREAM
        if stream.outbound:
            self._enqueue(stream)
        else:
            self._send_frame(stream)  # The flag needs no window, so it must not stand in the ring behind those who do.

    def _end(self, stream_id: int, trailers: Trailers) -> Event:
        """The call has its status: release the stream, resetting what is still open of it."""
        self._forget(self._streams[stream_id])
        if not self._h2.streams[stream_id].closed:
            self._h2.reset_stream(stream_id, ErrorCodes.NO_ERROR)
        self._h2.forget_if_closed(stream_id)
        return CallEnded(stream_id, trailers)

    def _on_response(self, event: h2_events.ResponseReceived) -> Event | None:
        if event.stream_id not in self._streams:
            return None
        parsed = parse_response(fields_of(event), ended=event.stream_ended is not None)
        if isinstance(parsed, Trailers):
            return self._end(event.stream_id, parsed)
        return ResponseStarted(event.stream_id, parsed)

    def _on_trailers(self, event: h2_events.TrailersReceived) -> Event | None:
        if event.stream_id not in self._streams:
            return None
        return self._end(event.stream_id, parse_trailers(fields_of(event)))

    def _on_stream_ended(self, event: h2_events.StreamEnded) -> Event | None:
        if event.stream_id not in self._streams:
            self._h2.forget_if_closed(event.stream_id)
            return None
        return self._end(event.stream_id, Trailers(Status.UNKNOWN, "the server ended the call without a status"))
