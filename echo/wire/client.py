"""The client's role on a connection: requests go out, responses come in (gRPC over HTTP/2, "Requests").

Only the timeout and the metadata differ between the requests of a method. Both follow the fields that the requests
share, which are constants to HPACK's encoder.
"""

from collections.abc import Sequence
from typing import Final

from echo.printable import LIMIT, printable_octets
from echo.wire.connection import Connection, NewStream
from echo.wire.errors import LocalProtocolError, MalformedError, PeerStreamError
from echo.wire.events import CallEnded, Event, GoAwayReceived, ResponseStarted
from echo.wire.fields import TRAILERS, FieldList, check_fields, check_response
from echo.wire.frames import MAX_STREAM_ID, ErrorCode, describe_code
from echo.wire.head import Request, Response, Trailers, parse_response, parse_trailers, shared_fields
from echo.wire.header_lists import Field, Recurring, list_size
from echo.wire.limits import Limits
from echo.wire.metadata import encode_metadata
from echo.wire.not_grpc import HOP, NO_STATUS, excerpt, is_readable
from echo.wire.state import CLOSED, RECV_END
from echo.wire.status import GRPCError, Status, status_from_reset
from echo.wire.stream import END_OF_MESSAGES, S
from echo.wire.timeout import encode_timeout

MAX_PATH: Final = 1_024  # The longest path of which the fields are remembered.

# A literal that is never indexed, and not in Huffman code: a few bytes more, and less time on both sides. Our server
# reads a head in a sixth of the time if only plain literals follow a known start.
_TIMEOUT: Final = b"\x10\x0cgrpc-timeout%c%b"


class ClientConnection(Connection[S]):
    """The client's role: requests go out, responses come in."""

    _client = True

    def __init__(self, limits: Limits, new_stream: NewStream[S]) -> None:
        super().__init__(limits, new_stream)
        # Calls that were answered in plain HTTP: how they have ended, and the body so far. They are kept until every
        # frame received together with the head has been read.
        self._http_answers: dict[S, tuple[Trailers, bytearray]] = {}

    def receive(self, data: bytes, now: float = 0.0) -> Sequence[Event[S]]:
        """See `Connection`."""
        events = super().receive(data, now)
        for stream, (trailers, body) in self._http_answers.items():
            trailers.message = f"{trailers.message}{excerpt(body.decode('utf-8', 'replace'))}"
            self._release(stream)
        self._http_answers.clear()
        return events

    @property
    def max_streams(self) -> int:
        """How many streams the server allows at once (RFC 9113 §5.1.2)."""
        return self._out.peer.max_concurrent_streams

    def open(self, request: Request, timeout: float | None = None) -> S:
        """Queue a request's head and return the new stream.

        Args:
            request: The request.
            timeout: What is left of the request's timeout, if that is another.

        Raises:
            LocalProtocolError: The connection has no stream ids left.
            ValueError, TypeError: The metadata cannot be sent.
            GRPCError: RESOURCE_EXHAUSTED: The metadata is larger than the server accepts.
        """
        stream_id = self._highest + 2 if self._highest else 1
        if stream_id > MAX_STREAM_ID:
            raise LocalProtocolError("the connection has no stream ids left")
        block = self._encode(request, timeout)
        stream = self._open_stream(stream_id)
        stream.served = True
        self._out.put_block(stream, block)
        return stream

    def _encode(self, request: Request, timeout: float | None) -> bytes:
        """Encode the head of a request as the next header block. Arguments and exceptions are those of `open`."""
        path, scheme, authority = request.path, request.scheme, request.authority
        share = shared_fields if len(path) <= MAX_PATH else shared_fields.__wrapped__
        shared, size = share(path, scheme, authority, request.encoding, request.content_type, request.user_agent)
        timed = b""
        if timeout is None:
            timeout = request.timeout
        if timeout is not None:
            value = encode_timeout(timeout).encode()
            timed = _TIMEOUT % (len(value), value)
            size += list_size(((b"grpc-timeout", value),))
        metadata = encode_metadata(request.metadata) if request.metadata else None
        if metadata is not None:
            size += list_size(metadata)
        limit = self._out.peer.max_header_list_size
        if size > limit:
            text = f"request metadata of {size} bytes exceeds the peer's limit of {limit}"
            raise GRPCError(Status.RESOURCE_EXHAUSTED, text)
        # In sending order, since each piece may change HPACK's table for the next.
        encoder = self._out.encoder
        block = encoder.encode(shared) + timed
        return block if metadata is None else block + encoder.encode(metadata)

    def half_close(self, stream: S) -> None:
        """End our side of the stream after its queued messages; END_STREAM is set on DATA, as gRPC requires.

        Raises:
            LocalProtocolError: The stream was already half-closed, or is over.
        """
        self._check_sending(stream)
        stream.end = END_OF_MESSAGES
        if stream.unsent.size:
            self._out.enqueue(stream)
        else:
            self._out.send_frame(stream)

    # Responses

    def _on_fields(self, stream_id: int, stream: S | None, fields: Sequence[Field], *, ended: bool) -> None:
        if stream is None:
            self._check_not_idle(stream_id, "HEADERS")
            if self._closed.ended_by_peer(stream_id):
                raise PeerStreamError(ErrorCode.STREAM_CLOSED, "HEADERS on a stream that is closed")
            self._charge("HEADERS on a stream that is closed")
            if ended:
                self._closed.end(stream_id)
            return
        recurring = fields if type(fields) is Recurring else None
        answer: Response | Trailers | None = None if recurring is None else recurring.meaning
        if answer is not None and stream.served and stream.head_received == ended == isinstance(answer, Trailers):
            self._receive_answer(stream, answer)
            return
        received = check_fields(fields, TRAILERS) if stream.head_received else check_response(fields)
        if stream in self._http_answers:
            if ended:
                stream.step(RECV_END)
        elif received.size > (limit := self._limits.max_header_list_size):
            text = f"response metadata of {received.size} bytes exceeds the limit of {limit}"
            self._end(stream, Trailers(Status.RESOURCE_EXHAUSTED, text))
        else:
            if not stream.head_received:
                answer = self._receive_response(stream, received, ended=ended)
            elif not ended:
                raise MalformedError("trailers without END_STREAM")
            else:
                answer = parse_trailers(received)
                self._receive_answer(stream, answer)
            if recurring is not None and answer is not None and not received.custom:
                recurring.meaning = answer  # Metadata belong to one call, as its caller may change them.

    def _receive_response(self, stream: S, received: FieldList, *, ended: bool) -> Response | None:
        """Handle the first header list of a response. Returns its head, if the same list always has this meaning."""
        if received.pseudo[b":status"].startswith(b"1"):
            # Informational responses mean nothing to gRPC; a final one follows (RFC 9113 §8.1).
            if ended:
                raise MalformedError("an informational response with END_STREAM")
            self._charge("an informational response")
            return None
        stream.head_received = True
        stream.content_left = received.content_length
        if ended:
            self._check_content(stream)
            stream.step(RECV_END)
        parsed = parse_response(received, ended=ended)
        if isinstance(parsed, Trailers):
            if ended or not is_readable(received):
                self._end(stream, parsed)
            else:
                stream.served = False
                self._report_end(stream, parsed)
                self._http_answers[stream] = (parsed, bytearray())
            return None
        self._receive_answer(stream, parsed)
        return parsed if received.content_length is None else None

    def _receive_answer(self, stream: S, answer: Response | Trailers) -> None:
        """Handle the head of a gRPC response that goes on, or the trailers after it."""
        if isinstance(answer, Trailers):
            self._check_content(stream)
            stream.step(RECV_END)
            self._end(stream, answer)
        else:
            stream.head_received = True
            stream.messages.encoding = answer.encoding
            self._events.append(ResponseStarted(stream, answer))

    def _end(self, stream: S, trailers: Trailers) -> None:
        """End the call with its status."""
        self._release(stream)
        self._report_end(stream, trailers)

    def _release(self, stream: S) -> None:
        """Release the stream of a call that has ended, and reset it if it is still open."""
        if stream.state != CLOSED:
            self._reset(stream, ErrorCode.NO_ERROR if stream.peer_ended else ErrorCode.CANCEL)
        else:
            self._close(stream)

    def _report_end(self, stream: S, trailers: Trailers, *, unprocessed: bool = False) -> None:
        if stream not in self._http_answers:  # Otherwise its end was reported, and that answer says more.
            self._events.append(CallEnded(stream, trailers, unprocessed))

    def _on_unserved(self, stream: S, data: bytes) -> None:
        body = self._http_answers[stream][1]
        body += data[: 4 * LIMIT - len(body)]

    def _on_peer_ended(self, stream: S) -> None:
        self._end(stream, Trailers(Status.UNKNOWN, NO_STATUS))

    def _on_reset(self, stream: S, error_code: int, broken: str | None) -> None:
        if broken is None:
            status, text = status_from_reset(error_code), f"the call was reset by {HOP} ({describe_code(error_code)})"
        else:
            status, text = Status.INTERNAL, f"the response is not valid HTTP/2: {broken}"
        # RFC 9113 §8.7: a refused stream was not processed in any way.
        self._report_end(stream, Trailers(status, text), unprocessed=error_code == ErrorCode.REFUSED_STREAM)

    def _on_goaway(self, event: GoAwayReceived) -> None:
        """End the streams above the last one named by the server: they were not processed (RFC 9113 §6.8)."""
        trailers = Trailers(Status.UNAVAILABLE, describe_goaway(event))
        for stream in [stream for stream in self.streams.values() if stream.id > event.last_stream_id]:
            self._close(stream, reset=True)
            self._report_end(stream, trailers, unprocessed=True)


def describe_goaway(event: GoAwayReceived) -> str:
    """A readable reason why the server accepts no more calls."""
    code = describe_code(event.error_code) if event.error_code else ""
    why = ": ".join(filter(None, [code, printable_octets(event.debug_data)]))
    return f"{HOP} is closing the connection" + (f" ({why})" if why else "")
