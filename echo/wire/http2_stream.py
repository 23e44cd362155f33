"""`h2.stream.H2Stream` with a short way for what comes most often; see `echo.wire.http2`."""

from collections.abc import Iterable
from typing import Final, cast

from h2.events import DataReceived, Event, InformationalResponseReceived, StreamEnded, TrailersReceived
from h2.exceptions import ProtocolError
from h2.stream import H2Stream, StreamInputs, StreamState
from hpack.struct import Header
from hyperframe.frame import Frame

from echo.wire.hpack import HeaderBlock

_RECEIVING: Final = frozenset({StreamState.OPEN, StreamState.HALF_CLOSED_LOCAL})


class Headers(list[Header]):
    """A header list as h2 reports it: the very same object each time the same block comes.

    Attributes:
        parsed: What the layer above has made of it, or None; for that layer alone.
    """

    __slots__ = ("parsed",)

    def __init__(self, fields: Iterable[Header]) -> None:
        super().__init__(fields)
        self.parsed: object = None


class Stream(H2Stream):
    """One HTTP/2 stream. A header block that has passed h2's checks once is not checked again."""

    @property
    def is_receiving(self) -> bool:
        """Whether the peer may send on it."""
        return self.state_machine.state in _RECEIVING

    @property
    def room(self) -> int:
        """Bytes of DATA that need no more than counting, by the state and the window: more is for h2 to judge."""
        if self.state_machine.headers_received and self.state_machine.state in _RECEIVING:
            return self._inbound_window_manager.current_window_size
        return 0

    @property
    def is_measured(self) -> bool:
        """Whether its header list says how much DATA there will be (RFC 9113 §8.1.1)."""
        return self._expected_content_length is not None

    def take(self, payload: bytes, *, end_stream: bool) -> list[Event]:
        """Take DATA within `room`.

        Raises:
            InvalidBodyLengthError: It is not as long as the header list said (RFC 9113 §8.1.1).
        """
        size = len(payload)
        self._inbound_window_manager.window_consumed(size)
        if self._expected_content_length is not None:
            self._track_content_length(size, end_stream)
        events: list[Event] = [DataReceived(stream_id=self.stream_id, data=payload, flow_controlled_length=size)]
        if end_stream:
            events += self.state_machine.process_input(StreamInputs.RECV_END_STREAM)
        return events

    def receive_headers(  # noqa: D102 - as in H2Stream
        self, headers: Iterable[Header], end_stream: bool, header_encoding: bool | str | None
    ) -> tuple[list[Frame], list[Event]]:
        assert isinstance(headers, HeaderBlock)
        machine = self.state_machine
        first = not machine.headers_received
        sound = headers.sound[first]
        if sound is None:
            frames, events = super().receive_headers(headers, end_stream, header_encoding)
            event = events[0]
            event.headers = Headers(event.headers)  # type: ignore[attr-defined]
            if type(event) is not InformationalResponseReceived:
                headers.sound[first] = (event.headers, self._expected_content_length)  # type: ignore[attr-defined]
            return frames, events
        events = machine.process_input(StreamInputs.RECV_HEADERS)
        event = events[0]
        if end_stream:
            ended = machine.process_input(StreamInputs.RECV_END_STREAM)
            event.stream_ended = cast("StreamEnded", ended[0])  # type: ignore[attr-defined]
            events += ended
        elif type(event) is TrailersReceived:
            raise ProtocolError("Trailers must have END_STREAM set")
        event.headers, self._expected_content_length = sound  # type: ignore[attr-defined]
        return [], events
