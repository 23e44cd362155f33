"""A connection's output: frames within the peer's limits, streams in turn, bounded memory."""

from collections import deque
from collections.abc import Iterator
from dataclasses import replace

import pytest
from hyperframe.frame import ContinuationFrame, DataFrame, Frame, HeadersFrame, WindowUpdateFrame
from multidict import MultiDict

from echo.wire.connection import Connection
from echo.wire.events import CallEnded, ConnectionFailed, RequestStarted, ResponseStarted
from echo.wire.frames import ErrorCode, window_update
from echo.wire.head import Request, Response, Trailers
from echo.wire.limits import Limits
from echo.wire.message import encode_message
from echo.wire.status import Status
from echo.wire.stream import Stream
from tests.support.pair import frames, of_type, settings
from tests.support.wire_pair import ConnectionPair, head

HEADER_TABLE_SIZE, MAX_FRAME_SIZE = 1, 5  # Their numbers in SETTINGS.


def remembered(root: object) -> int:
    """How many things lie in the collections that an object of `echo.wire` holds, however deep."""
    seen: set[int] = set()
    count = 0
    waiting: deque[object] = deque([root])
    while waiting:
        item = waiting.pop()
        if id(item) in seen:
            continue
        seen.add(id(item))
        if isinstance(item, dict):
            count += len(item)
            waiting.extend(item.values())
        elif isinstance(item, list | tuple | set | deque):
            count += len(item)
            waiting.extend(item)
        elif isinstance(item, bytes | bytearray):
            count += len(item)
        elif type(item).__module__.startswith("echo.wire"):
            waiting.extend(attributes(item))
    return count


def attributes(item: object) -> Iterator[object]:
    yield from getattr(item, "__dict__", {}).values()
    for kind in type(item).__mro__:
        for name in getattr(kind, "__slots__", ()):
            yield getattr(item, name, None)


def spend_the_window(sender: Connection[Stream], stream: Stream) -> None:
    """Send until the connection's window is 0."""
    sender.send_message(stream, encode_message(b"x" * 65_530))
    while sender.take_output():
        pass
    assert sender._out.window == 0


def test_streams_keep_their_turns_while_the_window_is_shut() -> None:
    pair = ConnectionPair(Limits(stream_window=100_000, connection_window=65_535))
    streams = [pair.open()[1] for _ in range(3)]
    for stream in streams:
        pair.server.send_response(stream, Response())
    spend_the_window(pair.server, streams[0])
    for stream in streams:
        pair.server.send_message(stream, encode_message(b"x"))
    for _ in range(2):
        assert pair.server.take_output() == b""
    pair.server.receive(window_update(0, 1_000))
    assert [frame.stream_id for frame in frames(pair.server.take_output())] == [stream.id for stream in streams]


@pytest.mark.parametrize(("more", "wakes"), [(-1, True), (0, True), (1, False)])
def test_a_sender_may_continue_once_its_buffer_is_not_over_its_limit(more: int, wakes: bool) -> None:
    frame = 16_384  # RFC 9113 §6.5.2
    pair = ConnectionPair(Limits(max_unsent=10_000, max_output=frame))
    _, stream = pair.open()
    pair.server.send_response(stream, Response())
    pair.server.take_output()
    pair.server.send_message(stream, encode_message(b"x" * (frame + 10_000 + more - 5)))
    assert len(pair.server.take_output()) == 9 + frame
    assert (stream in pair.server.take_writable()) == wakes


def test_the_end_of_a_call_moves_no_more_to_the_output_than_it_may_hold() -> None:
    wide = Limits(stream_window=2**20, connection_window=2**20, max_output=20_000)
    pair = ConnectionPair(wide)
    calls = [pair.open() for _ in range(2)]
    for _, stream in calls:
        pair.server.send_response(stream, Response())
        pair.server.send_message(stream, encode_message(b"x" * 200_000))
        assert not pair.server.send_trailers(stream, Trailers())
    sizes = []
    while data := pair.server.take_output():
        sizes.append(len(data))
        pair.client.receive(data)
    assert max(sizes) < 20_000 + 2 * 16_500  # A frame of each call, above what it may hold.
    assert [pair.client.next_message(stream) for stream, _ in calls] == [b"x" * 200_000] * 2


@pytest.mark.parametrize("by_client", [True, False])
def test_calls_reset_while_the_window_is_shut_leave_nothing_behind(by_client: bool) -> None:
    limits = Limits(stream_window=100_000, connection_window=65_535, flood_burst=100_000)
    pair = ConnectionPair(limits)
    _, busy = pair.open()
    pair.server.send_response(busy, Response())
    pair.to_client()
    spend_the_window(pair.server, busy)
    pair.server.send_message(busy, encode_message(b"the first in the ring"))
    counts = []
    for number in range(6_000):
        call = pair.client.open(Request("/s/m"))
        list(pair.server.receive(pair.client.take_output()))
        served = pair.server.streams[call.id]
        pair.server.send_response(served, Response())
        pair.server.send_message(served, encode_message(b"answer"))
        if by_client:
            pair.client.reset(call, ErrorCode.CANCEL)
            list(pair.server.receive(pair.client.take_output()))
        else:
            pair.server.reset(served, ErrorCode.CANCEL)
            pair.client.reset(call, ErrorCode.CANCEL)
            pair.client.take_output()
        pair.server.take_output()
        pair.server.take_writable()
        if number % 1_000 == 999:
            counts.append(remembered(pair.server))
    assert counts[1:] == [counts[1]] * 5  # What is remembered of closed streams is complete after 2,000.
    assert counts[-1] < 5_000


def test_data_waiting_for_a_window_is_not_reported_as_output() -> None:
    pair = ConnectionPair(Limits(stream_window=100_000, connection_window=65_535))
    call, _ = pair.open()
    spend_the_window(pair.client, call)
    other, _ = pair.open()
    pair.client.send_message(other, encode_message(b"waits"))
    assert not pair.client.has_output
    assert pair.client.take_output() == b""


def blocks(data: bytes) -> list[list[Frame]]:
    """Runs of frames that make one header block each."""
    found: list[list[Frame]] = []
    for frame in frames(data):
        if isinstance(frame, ContinuationFrame):
            found[-1].append(frame)
        elif isinstance(frame, HeadersFrame):
            found.append([frame])
    return found


@pytest.mark.parametrize("size", [16_384, 20_000])
def test_a_header_block_is_split_at_the_peer_s_largest_frame(size: int) -> None:
    pair = ConnectionPair(Limits(max_header_list_size=100_000))
    list(pair.client.receive(settings({MAX_FRAME_SIZE: size})))
    pair.to_server()
    metadata: MultiDict[str | bytes] = MultiDict({"x": "~" * 48_000})  # Which Huffman's codes do not make any shorter.
    call = pair.client.open(Request("/s/m", metadata=metadata))
    pair.client.half_close(call)
    output = pair.client.take_output()
    (block,) = blocks(output)
    assert [frame.body_len for frame in block[:-1]] == [size] * (len(block) - 1)
    assert 0 < block[-1].body_len <= size
    assert len(block) == -(-sum(frame.body_len for frame in block) // size) > 1
    assert ["END_HEADERS" in frame.flags for frame in block] == [False] * (len(block) - 1) + [True]
    assert {frame.stream_id for frame in block} == {call.id}
    assert [type(frame) for frame in frames(output)][: len(block)] == [
        HeadersFrame,
        *[ContinuationFrame] * (len(block) - 1),
    ]
    if size <= 16_384:  # What our own server takes.
        request, _ = pair.server.receive(output)
        assert isinstance(request, RequestStarted)
        assert request.request.metadata == metadata


def test_a_header_block_that_just_fits_into_a_frame_is_not_split() -> None:
    def sent(size: int) -> list[Frame]:
        pair = ConnectionPair(Limits(max_header_list_size=100_000))
        pair.client.open(Request("/s/m", metadata=MultiDict({"x": "X" * size})))  # An octet each.
        return list(frames(pair.client.take_output()))

    (smaller,) = sent(16_000)
    (largest,) = sent(16_000 + 16_384 - smaller.body_len)
    assert largest.body_len == 16_384
    assert "END_HEADERS" in largest.flags


def test_split_trailers_have_end_stream_on_the_first_frame() -> None:
    pair = ConnectionPair(Limits(max_header_list_size=100_000))
    _, served = pair.open(end=True)
    pair.server.send_trailers(served, Trailers(metadata=MultiDict({"x": "~" * 20_000})))
    ((first, last),) = blocks(pair.server.take_output())
    assert isinstance(first, HeadersFrame)
    assert "END_STREAM" in first.flags  # CONTINUATION has no END_STREAM (RFC 9113 §6.10).
    assert "END_HEADERS" in last.flags
    assert len(last.flags) == 1


@pytest.mark.parametrize("size", [16_384, 40_000])
def test_data_fills_frames_of_the_peer_s_largest_size(size: int) -> None:
    pair = ConnectionPair(Limits(stream_window=2**20))
    list(pair.client.receive(settings({MAX_FRAME_SIZE: size})))
    call, _ = pair.open()
    pair.client.send_message(call, encode_message(b"x" * 99_995))
    sizes = [len(frame.data) for frame in frames(pair.client.take_output()) if isinstance(frame, DataFrame)]
    assert sizes == [size] * (100_000 // size) + [100_000 % size]


@pytest.mark.parametrize("size", [16_383, 2**24])
def test_a_max_frame_size_that_http2_forbids_ends_the_connection(size: int) -> None:
    pair = ConnectionPair()
    (failure,) = of_type(pair.client.receive(settings({MAX_FRAME_SIZE: size})), ConnectionFailed)
    assert failure.error_code == ErrorCode.PROTOCOL_ERROR


def test_answers_that_the_peer_does_not_read_are_bounded() -> None:
    small = Limits(max_output=1_000, max_header_list_size=100, max_concurrent_streams=2)
    pair = ConnectionPair(replace(small, flood_burst=10_000, min_ping_interval=0))
    for number in range(1_000):
        pair.client.ping(b"%8d" % number)
        if failures := of_type(pair.server.receive(pair.client.take_output()), ConnectionFailed):
            break
    assert failures[0].error_code == ErrorCode.ENHANCE_YOUR_CALM
    assert failures[0].reason == "too many unsent answers"
    assert len(pair.server.take_output()) < 2_000


def test_header_lists_that_come_again_read_the_same_whatever_changed_the_table_meanwhile() -> None:
    pair = ConnectionPair()
    expected: list[object] = []
    seen: list[object] = []
    for number in range(12):
        _, stream = pair.open(end=True)
        sent = MultiDict[str | bytes]({"x-number": str(number)} if number % 4 == 3 else {})
        pair.server.send_response(stream, Response(sent))
        pair.server.send_trailers(stream, Trailers())
        expected += [sent, Status.OK]
        for event in pair.to_client():
            if isinstance(event, ResponseStarted):
                seen.append(event.response.metadata)
            elif isinstance(event, CallEnded):
                seen.append(event.trailers.status)
    assert seen == expected


def test_a_smaller_table_is_announced_before_a_header_list_that_comes_again() -> None:
    pair = ConnectionPair()
    first_octets = []
    for _ in range(4):
        _, stream = pair.open(end=True)
        pair.server.send_response(stream, Response())
        pair.server.send_trailers(stream, Trailers())
        sent = pair.server.take_output()
        first_octets.append(sent[9] & 0xE0)
        pair.client.receive(sent)
        if len(first_octets) == 3:
            pair.server.receive(settings({HEADER_TABLE_SIZE: 100}))
            pair.client.receive(pair.server.take_output())
    assert first_octets[3] == 0x20  # RFC 7541 §6.3
    assert 0x20 not in first_octets[:3]


def test_the_answer_to_a_request_that_is_not_grpc_waits_for_the_connection_s_window() -> None:
    pair = ConnectionPair(Limits(stream_window=100_000, connection_window=65_535))
    _, busy = pair.open()
    pair.server.send_response(busy, Response())
    pair.to_client()
    spend_the_window(pair.server, busy)
    pair.server.receive(head(3, [(b":method", b"GET"), (b":scheme", b"http"), (b":path", b"/")], end=True))
    assert [type(frame) for frame in frames(pair.server.take_output())] == [HeadersFrame]
    pair.server.receive(WindowUpdateFrame(0, window_increment=1_000).serialize())
    (body,) = frames(pair.server.take_output())
    assert isinstance(body, DataFrame)
    assert b"This port speaks gRPC" in body.data
    assert "END_STREAM" in body.flags
    assert 3 not in pair.server.streams
