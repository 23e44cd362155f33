"""`h2.connection.H2Connection`, adjusted where gRPC needs it to be more lenient, flatter, stricter or faster.

This, `echo.wire.http2_stream` and `echo.wire.http2_buffer` are the only modules that know the inside of h2; each
override says which fault of the stock class it mends, and the release of h2 is pinned to one minor version in
pyproject.toml for their sake. Above stands `echo.wire.connection`, which speaks gRPC.

What most frames are, plain DATA and HEADERS in the life of a sound stream, goes by a short way: the same steps of the
same state machines, without an object for each frame. Everything else goes by h2's own way.
"""

import math
import struct
from collections.abc import Iterator, Sequence
from typing import Final, cast

from h2.config import H2Configuration
from h2.connection import AllowedStreamIDs, ConnectionInputs, H2Connection, _decode_headers
from h2.errors import ErrorCodes
from h2.events import ConnectionTerminated, DataReceived, Event
from h2.exceptions import ProtocolError, StreamClosedError, StreamIDTooLowError
from h2.settings import SettingCodes, Settings
from h2.stream import StreamClosedBy, StreamInputs
from h2.utilities import SizeLimitDict
from hyperframe.exceptions import HyperframeError
from hyperframe.frame import (
    DataFrame,
    ExtensionFrame,
    Frame,
    GoAwayFrame,
    PingFrame,
    PriorityFrame,
    RstStreamFrame,
    SettingsFrame,
)

from echo.wire.budget import Budget
from echo.wire.hpack import RememberingDecoder, RememberingEncoder
from echo.wire.http2_buffer import CheckedFrameBuffer
from echo.wire.http2_stream import Stream
from echo.wire.limits import Limits

DEFAULT_WINDOW = 65_535  # RFC 9113 §6.9.2
MAX_HPACK_TABLE = 4_096  # The default of RFC 9113 §6.5.2; larger tables cost memory and save nothing for gRPC.
KNOWN_SETTINGS = frozenset(SettingCodes)

# RFC 9113 §4.1: 24 bits of length, type, flags, stream.
_FRAME_HEADER: Final = struct.Struct(">HBBBL")
_FRAME_HEADER_SIZE: Final = 9
_DATA: Final = 0
_HEADERS: Final = 1
_CONTINUATION: Final = 9
_END_STREAM: Final = 1
_END_HEADERS: Final = 4


class FrameError(Exception):
    """The peer broke HTTP/2's rules for the whole connection; a GOAWAY with ``error_code`` has been queued."""

    def __init__(self, error_code: int, reason: str) -> None:
        super().__init__(reason)
        self.error_code = error_code
        self.reason = reason


class FloodError(ProtocolError):
    """The peer sends more frames of little use than it may (RFC 9113 §10.5)."""

    error_code = ErrorCodes.ENHANCE_YOUR_CALM


class HTTP2(H2Connection):
    """One HTTP/2 connection, either role: bytes in, h2 events out, and bytes out."""

    # Closed streams are remembered so that late frames on them are no connection errors. 65,536 of them, h2's choice,
    # would be several megabytes a connection; late frames belong to the last few.
    MAX_CLOSED_STREAMS = 1_024

    def __init__(self, *, client: bool, limits: Limits) -> None:
        super().__init__(
            H2Configuration(
                client_side=client,
                # Any byte is a character in latin-1: decoding cannot fail, and nothing is lost before gRPC's own rules.
                header_encoding="latin-1",
                # Our own header fields come from `echo.wire.head`, which validates what users put into them.
                validate_outbound_headers=False,
                normalize_outbound_headers=False,
            )
        )
        values = {
            SettingCodes.INITIAL_WINDOW_SIZE: limits.stream_window,
            SettingCodes.MAX_HEADER_LIST_SIZE: limits.max_header_list_size,
            SettingCodes.MAX_CONCURRENT_STREAMS: limits.max_concurrent_streams,
            SettingCodes.ENABLE_PUSH: 0,
        }
        if client:
            del values[SettingCodes.MAX_CONCURRENT_STREAMS]  # It would limit pushes, and those are off.
        self.local_settings = Settings(client=client, initial_values=values)
        self.encoder = self._encoder = RememberingEncoder()
        self.decoder = RememberingDecoder()
        self.decoder.max_header_list_size = limits.max_header_list_size
        self.incoming_buffer = CheckedFrameBuffer(server=not client, max_header_list_size=limits.max_header_list_size)
        self._connection_window = limits.connection_window
        # Of the streams that we have reset: how much DATA the peer may have sent before it heard of that.
        self._late: SizeLimitDict = SizeLimitDict(size_limit=self.MAX_CLOSED_STREAMS)

        # More answers than this come of no sound client's requests: two header lists for each call that may be open.
        # What a client has to send is its own calls; the answers that a server can have of it come out of the budget.
        answers = limits.max_output + 2 * limits.max_concurrent_streams * limits.max_header_list_size
        self._max_answers = math.inf if client else answers
        self._budget = Budget(limits.flood_burst, limits.flood_rate)
        self._now = 0.0

    def start(self) -> None:
        """Queue the preface, our SETTINGS and the opening of the connection's window (RFC 9113 §3.4)."""
        self.initiate_connection()
        if self._connection_window > DEFAULT_WINDOW:
            self.increment_flow_control_window(self._connection_window - DEFAULT_WINDOW)

    def receive(self, data: bytes, now: float) -> Iterator[Event]:
        """Report what the bytes mean, one event at a time, as far as they are sound; they came at the time ``now``.

        h2's own ``receive_data`` drops the events of good frames when a bad one follows in the same read, so that the
        outcome would depend on how the network cut the bytes.

        Raises:
            FrameError: The connection is broken; a GOAWAY lies in the output.
        """
        self._now = now
        buffer = self.incoming_buffer
        buffer.max_frame_size = self.max_inbound_frame_size
        try:
            buffer.add_data(data)
            while True:
                events = self._receive_plain(buffer._data) if not buffer._headers_buffer else None
                if events is None:
                    frame = next(buffer, None)
                    if frame is None:
                        return
                    events = self._receive_frame(frame)
                yield from events
                if len(self._data_to_send) > self._max_answers:
                    raise FloodError("answers pile up that are not taken")
        except ProtocolError as error:
            raise self._fail(error.error_code, str(error)) from error
        except HyperframeError as error:
            raise self._fail(ErrorCodes.PROTOCOL_ERROR, str(error)) from error

    def charge(self, what: str) -> None:
        """Take the costs of something that floods are made of from the peer's budget.

        Raises:
            FloodError: It is used up.
        """
        if not self._budget.spend(self._now):
            raise FloodError(f"too many frames of little use, the last one {what}")

    def _receive_plain(self, data: bytearray) -> list[Event] | None:
        """Take a whole frame of the most frequent kinds off the buffer; None leaves it to h2."""
        if len(data) < _FRAME_HEADER_SIZE:
            return None
        high, low, kind, flags, stream_id = _FRAME_HEADER.unpack_from(data)
        size = high << 8 | low
        end = _FRAME_HEADER_SIZE + size
        if kind > _HEADERS or len(data) < end or size > self.max_inbound_frame_size:
            return None
        stream = cast("Stream | None", self.streams.get(stream_id))
        if kind == _DATA:
            return None if stream is None or flags > _END_STREAM else self._receive_run(data, stream, size, flags)
        if flags | _END_STREAM != _END_HEADERS | _END_STREAM or not (
            stream.is_receiving if stream is not None else self._may_begin(stream_id)
        ):
            return None
        block = bytes(memoryview(data)[_FRAME_HEADER_SIZE:end])
        del data[:end]
        fields = _decode_headers(self.decoder, block)
        if stream is None:
            self.state_machine.process_input(ConnectionInputs.RECV_HEADERS)
            stream = self._begin_new_stream(stream_id, AllowedStreamIDs.ODD)
        _, events = stream.receive_headers(fields, bool(flags & _END_STREAM), self.config.header_encoding)
        return events

    def _receive_run(self, data: bytearray, stream: Stream, size: int, flags: int) -> list[Event] | None:
        """Take the DATA frame at the front, and those of the same stream behind it that are here, as if they were one.

        Peers send a frame for each message; one event for a hundred of them costs little more than one for one.
        """
        windows = self._inbound_flow_control_window_manager
        room = min(windows.current_window_size, stream.room)
        end = _FRAME_HEADER_SIZE + size
        if not 0 < size <= room:
            return None
        payload = bytes(memoryview(data)[_FRAME_HEADER_SIZE:end])
        # Of a stream of announced length the frames that are within it count, though one behind them is not.
        if not flags and len(data) >= end + _FRAME_HEADER_SIZE and not stream.is_measured:
            payloads = [payload]
            limit, stream_id, total = self.max_inbound_frame_size, stream.stream_id, size
            while len(data) >= end + _FRAME_HEADER_SIZE:
                high, low, kind, flags, next_id = _FRAME_HEADER.unpack_from(data, end)
                size = high << 8 | low
                start = end + _FRAME_HEADER_SIZE
                if kind or next_id != stream_id or flags or not 0 < size <= min(limit, room - total, len(data) - start):
                    break
                end = start + size
                total += size
                payloads.append(bytes(memoryview(data)[start:end]))
            flags = 0
            payload = b"".join(payloads)
        del data[:end]
        windows.window_consumed(len(payload))
        return stream.take(payload, end_stream=flags == _END_STREAM)

    def _may_begin(self, stream_id: int) -> bool:
        """Whether the peer, a client, may begin this stream now (RFC 9113 §5.1.1)."""
        return stream_id % 2 == 1 and stream_id > self.highest_inbound_stream_id and not self.config.client_side

    def _begin_new_stream(self, stream_id: int, allowed_ids: AllowedStreamIDs) -> Stream:
        # As h2 does it, with our class of streams.
        outbound = self._stream_id_is_outbound(stream_id)
        if self.config.client_side and not outbound:
            # Only pushes would, and those are off (RFC 9113 §8.4). h2 takes any number of them for requests.
            raise ProtocolError(f"the server opens a stream, {stream_id}")
        highest = self.highest_outbound_stream_id if outbound else self.highest_inbound_stream_id
        if stream_id <= highest:
            raise StreamIDTooLowError(stream_id, highest)
        if stream_id % 2 != allowed_ids:
            raise ProtocolError("Invalid stream ID for peer.")
        stream = self.streams[stream_id] = Stream(
            stream_id,
            config=self.config,
            inbound_window_size=self.local_settings.initial_window_size,
            outbound_window_size=self.remote_settings.initial_window_size,
        )
        stream.max_outbound_frame_size = self.max_outbound_frame_size
        if outbound:
            self.highest_outbound_stream_id = stream_id
        else:
            self.highest_inbound_stream_id = stream_id
        return stream

    def send_fields(self, stream_id: int, fields: Sequence[tuple[str, str]], *, end: bool = False) -> None:
        """Queue a header list, validated before, on a stream, which it opens if it is a new one of ours.

        Raises:
            ProtocolError: The stream's state does not allow it.
        """
        stream = self.streams.get(stream_id)
        if stream is None:
            self.state_machine.process_input(ConnectionInputs.SEND_HEADERS)
            stream = self._begin_new_stream(stream_id, AllowedStreamIDs(self.config.client_side))
        stream.state_machine.process_input(StreamInputs.SEND_HEADERS)
        if end:
            stream.state_machine.process_input(StreamInputs.SEND_END_STREAM)
        block = self._encoder.encode_fields(fields)
        kind, flags, start, limit = _HEADERS, _END_STREAM if end else 0, 0, self.max_outbound_frame_size
        while len(block) - start > limit:
            self._put_frame(kind, flags, stream_id, block[start : start + limit])
            kind, flags, start = _CONTINUATION, 0, start + limit
        self._put_frame(kind, flags | _END_HEADERS, stream_id, block[start:] if start else block)

    def send_body(self, stream_id: int, data: bytes, *, end: bool = False) -> None:
        """Queue a DATA frame; the caller has seen to it that frame size and windows permit it.

        Raises:
            ProtocolError: The stream's state does not allow it.
        """
        stream = self.streams[stream_id]
        stream.state_machine.process_input(StreamInputs.SEND_DATA)
        if end:
            stream.state_machine.process_input(StreamInputs.SEND_END_STREAM)
        size = len(data)
        stream.outbound_flow_control_window -= size
        self.outbound_flow_control_window -= size
        self._put_frame(_DATA, _END_STREAM if end else 0, stream_id, data)

    def _put_frame(self, kind: int, flags: int, stream_id: int, payload: bytes) -> None:
        size = len(payload)
        self._data_to_send += _FRAME_HEADER.pack(size >> 8, size & 0xFF, kind, flags, stream_id)
        self._data_to_send += payload

    def _receive_frame(self, frame: Frame) -> list[Event]:
        # h2 takes any number of frames that cost us something and bring nothing, and answers many of them.
        kind = type(frame)
        if kind is DataFrame:
            known = frame.stream_id in self.streams or self._was_under_way(cast("DataFrame", frame))
            if not known or not (frame.body_len or "END_STREAM" in frame.flags):
                self.charge("DATA that is empty or of no stream")
        elif kind is PingFrame or kind is SettingsFrame:
            if "ACK" not in frame.flags:
                self.charge(f"a {kind.__name__}")
        elif kind is PriorityFrame or kind is ExtensionFrame:
            self.charge(f"a {kind.__name__}")
        return super()._receive_frame(frame)

    def _was_under_way(self, frame: DataFrame) -> bool:
        """Whether DATA on a stream that we have reset was within its window, as a sound peer's is that did not know."""
        left = self._late.get(frame.stream_id, -1) - frame.flow_controlled_length
        if left >= 0:
            self._late[frame.stream_id] = left
        return bool(left >= 0)

    def _handle_data_on_closed_stream(
        self, events: list[Event], exc: StreamClosedError, frame: DataFrame
    ) -> tuple[list[Frame], list[Event]]:
        # h2 returns such bytes to the connection's window by an account of its own, which keeps back up to half a
        # window beside the half that the account in `echo.wire.connection` may keep back: it gets them as an event.
        # And h2 resets the stream for each frame anew; where we have done so, RFC 9113 §5.1 asks to ignore them.
        late = DataReceived(stream_id=frame.stream_id, data=b"", flow_controlled_length=frame.flow_controlled_length)
        if frame.stream_id in self._late:
            return [], [*events, late]
        return [RstStreamFrame(frame.stream_id, error_code=exc.error_code)], [*events, late, *exc._events]

    def _fail(self, error_code: int, reason: str) -> FrameError:
        self.send_goaway(self.highest_inbound_stream_id, error_code, reason.encode()[:256])
        return FrameError(error_code, reason)

    def _open_streams(self, remainder: int) -> int:  # noqa: ARG002 - h2's signature
        # h2 counts every stream for each new one, and ends the whole connection at the limit. The session counts its
        # calls itself and refuses the surplus one by one with REFUSED_STREAM; see `forget_if_closed` for the rest.
        return 0

    def forget_if_closed(self, stream_id: int) -> None:
        """Release a stream that is over. h2 does so while it counts, at a cost that grows with the open streams."""
        stream = self.streams.get(stream_id)
        if stream is not None and stream.closed:
            del self.streams[stream_id]
            self._closed_streams[stream_id] = stream.closed_by
            if stream.closed_by is StreamClosedBy.SEND_RST_STREAM:
                self._late[stream_id] = stream.inbound_flow_control_window

    def send_goaway(self, last_stream_id: int, error_code: int, debug_data: bytes = b"") -> None:
        """Queue a GOAWAY and go on (RFC 9113 §6.8). h2's ``close_connection`` allows nothing after it."""
        frame = GoAwayFrame(0, last_stream_id=last_stream_id, error_code=error_code, additional_data=debug_data)
        self._prepare_for_sending([frame])

    def _receive_goaway_frame(self, frame: GoAwayFrame) -> tuple[list[Frame], list[Event]]:
        # h2 drops what is waiting to be sent and closes; but the streams up to last_stream_id are to be completed.
        event = ConnectionTerminated()
        event.error_code = frame.error_code
        event.last_stream_id = frame.last_stream_id
        event.additional_data = frame.additional_data or None
        return [], [event]

    def _receive_settings_frame(self, frame: SettingsFrame) -> tuple[list[Frame], list[Event]]:
        # h2 keeps whatever identifiers a peer invents, and sizes the encoder's table as the peer asks.
        settings = frame.settings
        for code in [code for code in settings if code not in KNOWN_SETTINGS]:
            del settings[code]
        if settings.get(SettingCodes.HEADER_TABLE_SIZE, 0) > MAX_HPACK_TABLE:
            settings[SettingCodes.HEADER_TABLE_SIZE] = MAX_HPACK_TABLE
        return super()._receive_settings_frame(frame)

    @property
    def mid_headers(self) -> bool:
        """Whether a header block has begun and not ended: no other frame may come before it does (RFC 9113 §6.10)."""
        return bool(self.incoming_buffer._headers_buffer)

    @property
    def output_size(self) -> int:
        """Bytes that wait in the output."""
        return len(self._data_to_send)
