"""The server's role on a connection: requests come in, responses go out (gRPC over HTTP/2, "Responses")."""

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from echo.wire.connection import Connection
from echo.wire.errors import LocalProtocolError, MalformedError, PeerConnectionError
from echo.wire.events import HalfClosed, RequestRefused, RequestStarted, StreamReset
from echo.wire.fields import TRAILERS, check_fields, check_request
from echo.wire.frames import ACK, ErrorCode, rst_stream
from echo.wire.head import Response, Trailers
from echo.wire.header_lists import Field, list_size
from echo.wire.received_request import ReceivedRequest, Rejected, parse_request, recognise
from echo.wire.settings import UNLIMITED
from echo.wire.state import CLOSED, RECV_END, RECV_HEADERS, SEND_DATA, TRANSITIONS
from echo.wire.status import GRPCError, Status
from echo.wire.stream import END_OF_MESSAGES, S

MAX_PING_STRIKES: Final = 2


class ServerConnection(Connection[S]):
    """The server's role: requests come in, responses go out.

    Attributes:
        pings: How many PINGs have arrived.
        refused_draining: How many streams were refused because the server is draining.
        refused_surplus: How many streams were refused because there were too many.
    """

    _client = False
    pings: int = 0
    refused_draining: int = 0
    refused_surplus: int = 0
    _ping_strikes = 0
    _last_ping = -math.inf

    def _receive_settings(self, flags: int, stream_id: int, payload: bytes) -> None:
        self.start()
        super()._receive_settings(flags, stream_id, payload)

    def _receive_reset(self, flags: int, stream_id: int, payload: bytes) -> None:
        if self.refusing and stream_id > self._highest and stream_id % 2:
            # nghttpx gives up a call that our GOAWAY overtook, and resets its stream without having opened it. Frames
            # above GOAWAY's last stream may be discarded (RFC 9113 §6.8); the other calls must not end for it.
            self._charge("RST_STREAM on a stream above the last one")
            return
        super()._receive_reset(flags, stream_id, payload)

    # Responses

    def send_response(self, stream: S, response: Response) -> None:
        """Queue the response's head.

        Raises:
            LocalProtocolError: The head was already sent, or the stream is over.
            ValueError, TypeError: The metadata cannot be sent.
            GRPCError: RESOURCE_EXHAUSTED: The metadata is larger than the client accepts.
        """
        self._check_sending(stream)
        if stream.head_sent:
            raise LocalProtocolError(f"the head of stream {stream.id} was already sent")
        fields = response.fields()
        limit = self._out.peer.max_header_list_size
        if limit != UNLIMITED and (size := list_size(fields)) > limit:  # It would end the connection and all its calls.
            text = f"response metadata of {size} bytes exceeds the peer's limit of {limit}"
            raise GRPCError(Status.RESOURCE_EXHAUSTED, text)
        self._out.put_block(stream, self._out.encoder.encode(fields))
        self._out.sent_data = True

    def send_trailers(self, stream: S, trailers: Trailers) -> bool:
        """End the call after its queued messages. Returns whether the end is in the output already.

        If not, the stream is over when `take_writable` names it. Trailers that are larger than the client accepts
        (SETTINGS_MAX_HEADER_LIST_SIZE) lose their details; if they are still too large, RESOURCE_EXHAUSTED is sent
        instead.

        Raises:
            LocalProtocolError: The call was already ended, or the stream is over.
            ValueError, TypeError: The metadata cannot be sent.
        """
        self._check_sending(stream)
        stream.sent_trailers, stream.end = self._fitting(stream, trailers)
        self._out.send(stream)
        return stream.state == CLOSED

    def send_reset(self, stream: S, error_code: int) -> bool:
        """End the call with RST_STREAM after its queued messages. Returns and raises like `send_trailers`."""
        self._check_sending(stream)
        if not stream.unsent.size:
            self._reset(stream, error_code)
            return True
        stream.end = error_code
        self._out.enqueue(stream)
        return False

    def abort(self, stream: S, trailers: Trailers) -> None:
        """End the call now and drop unsent messages; does nothing if the stream is over.

        This may cut a message short. Unlike a reset, the trailers tell the client why.
        """
        if stream.state != CLOSED:
            stream.unsent.clear()
            stream.end = None
            self.send_trailers(stream, trailers)

    def _fitting(self, stream: S, trailers: Trailers) -> tuple[Trailers, Sequence[Field]]:
        """The trailers to send, of a size that the client accepts, and their fields."""
        with_head = not stream.head_sent
        fields = trailers.fields(with_head=with_head)
        limit = self._out.peer.max_header_list_size
        if limit == UNLIMITED:
            return trailers, fields
        if list_size(fields) > limit and trailers.details is not None:
            fields = replace(trailers, details=None).fields(with_head=with_head)
        if list_size(fields) > limit:
            text = f"trailers of {list_size(fields)} bytes exceed the client's limit of {limit}"
            trailers = Trailers(Status.RESOURCE_EXHAUSTED, text)
            fields = trailers.fields(with_head=with_head)
        return trailers, fields

    def _on_end_sent(self, stream: S) -> None:
        if stream.state == CLOSED:
            self._close(stream)
        elif isinstance(stream.end, int):
            self._reset(stream, stream.end)
        elif stream.end is not END_OF_MESSAGES:  # Otherwise it is not gRPC; see `_reject`.
            # The response is complete before the request: tell the client to stop sending (RFC 9113 §8.1).
            self._reset(stream, ErrorCode.NO_ERROR)

    # Requests

    def _on_fields(self, stream_id: int, stream: S | None, fields: Sequence[Field], *, ended: bool) -> None:
        if stream is not None:
            self._receive_trailers(stream, fields, ended=ended)
            return
        if self._closed.expects(stream_id):
            self._charge("HEADERS on a stream that was reset")
            return
        if stream_id % 2 == 0 or stream_id <= self._highest:
            # RFC 9113 §5.1, §5.1.1: the client has closed the stream itself, or the id is not valid for a new one.
            closed = self._closed.ended_by_peer(stream_id)
            code = ErrorCode.STREAM_CLOSED if closed else ErrorCode.PROTOCOL_ERROR
            raise PeerConnectionError(code, f"HEADERS on stream {stream_id}, which cannot be opened")
        self._receive_request(stream_id, fields, ended=ended)

    def _receive_request(self, stream_id: int, fields: Sequence[Field], *, ended: bool) -> None:
        if self.refusing or len(self.streams) >= self._limits.max_concurrent_streams:
            # GOAWAY or SETTINGS announced the limit; the client may retry the call (RFC 9113 §5.1.2, §8.7).
            if self.refusing:
                self.refused_draining += 1
            else:
                self.refused_surplus += 1
            self._highest = stream_id
            self._closed.add(stream_id, self._stream_window, reset=True)
            self._out.put(rst_stream(stream_id, ErrorCode.REFUSED_STREAM))
            return
        stream = self._open_stream(stream_id)
        stream.step(RECV_HEADERS)
        if ended:
            stream.step(RECV_END)
            stream.messages.close()
        stream.head_received = True
        request = recognise(fields, self._limits.max_header_list_size)
        if request is None:
            request = self._read_request(stream, fields, ended=ended)
            if request is None:
                return
        if request.encoding != "identity":
            stream.messages.encoding = request.encoding
        stream.served = True
        self._events.append(RequestStarted(stream, request, fields))
        if ended:
            self._events.append(HalfClosed(stream))

    def _read_request(self, stream: S, fields: Sequence[Field], *, ended: bool) -> ReceivedRequest | None:
        """Check and read a request's head; None if that refused it."""
        received = check_request(fields)
        stream.content_left = received.content_length
        if ended:
            self._check_content(stream)
        request = parse_request(received, self._limits.max_header_list_size)
        if isinstance(request, ReceivedRequest):
            return request
        self._reject(stream, request)
        self._events.append(RequestRefused(stream, received))
        return None

    def _reject(self, stream: S, rejected: Rejected) -> None:
        """Answer a request that cannot be served."""
        head = rejected.head
        if not head:
            self.send_trailers(stream, rejected.trailers)
            return
        # Plain HTTP. The rest of the request is dropped as it arrives, up to the window's size, so that a client that
        # reads only after sending gets the answer. The stream counts as open until then.
        stream.sent_trailers = rejected.trailers
        if list_size(head) > self._out.peer.max_header_list_size:
            head = head[:2]
        self._out.put_block(stream, self._out.encoder.encode(head))
        stream.unsent.push(rejected.body)
        stream.end = END_OF_MESSAGES
        self._out.send(stream)  # At once: the stream then stays open only as long as its client or a window holds it.

    def _on_unserved(self, stream: S, data: bytes) -> None:  # noqa: ARG002
        if stream.receive_window * 2 < self._stream_window and SEND_DATA not in TRANSITIONS[stream.state]:
            self._reset(stream, ErrorCode.NO_ERROR)  # The client keeps sending after its answer.

    def _receive_trailers(self, stream: S, fields: Sequence[Field], *, ended: bool) -> None:
        """Handle a second header list: HTTP allows trailers in requests, though gRPC has none (RFC 9113 §8.1)."""
        if not ended:
            raise MalformedError("a second header list without END_STREAM")
        check_fields(fields, TRAILERS)
        self._end_of_data(stream)

    def _on_peer_ended(self, stream: S) -> None:
        if stream.state == CLOSED:
            self._close(stream)  # A rejected request, already fully answered.
        elif stream.served:
            self._events.append(HalfClosed(stream))

    def _on_reset(self, stream: S, error_code: int, broken: str | None) -> None:
        if stream.served:
            self._events.append(StreamReset(stream, error_code))
        if broken is None and not stream.head_sent:
            # Opening streams only to reset them makes a server work for nothing ("rapid reset", CVE-2023-44487).
            self._charge("a reset of a call that was not answered yet")

    def _receive_ping(self, flags: int, stream_id: int, payload: bytes) -> None:
        expected = self._out.sent_data  # It is the first since DATA of ours.
        super()._receive_ping(flags, stream_id, payload)
        if flags & ACK:
            return
        self.pings += 1
        # As in other gRPC servers, keepalive PINGs must not come too often.
        if expected:
            self._ping_strikes = 0
        elif self._now - self._last_ping < self._limits.min_ping_interval:
            self._ping_strikes += 1
            if self._ping_strikes > MAX_PING_STRIKES:
                raise PeerConnectionError(ErrorCode.ENHANCE_YOUR_CALM, "too_many_pings")
        self._last_ping = self._now
