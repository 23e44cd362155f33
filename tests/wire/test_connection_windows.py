"""When the bytes of many calls leave and who waits for whom: windows, portions of output, acknowledgements."""

from h2.errors import ErrorCodes
from hyperframe.frame import DataFrame, WindowUpdateFrame
from multidict import MultiDict

from echo.wire.head import Request, Response, Trailers
from echo.wire.limits import Limits
from tests.support.pair import (
    CallEnded,
    ConnectionPair,
    DataReceived,
    HalfClosed,
    RequestStarted,
    frames,
    of_type,
    settings,
)


def test_nothing_is_sent_beyond_the_window_and_all_of_it_once_it_opens() -> None:
    pair = ConnectionPair(Limits(stream_window=70_000))
    stream_id = pair.open()
    pair.client.send_message(stream_id, b"x" * 100_000)
    received = sum(len(event.data) for event in of_type(pair.to_server(), DataReceived))
    assert received == 70_000
    assert pair.client.unsent(stream_id) == 30_000
    assert not pair.client.has_output
    assert pair.to_server() == []

    pair.server.acknowledge(stream_id, 40_000)
    pair.to_client()
    assert sum(len(event.data) for event in of_type(pair.to_server(), DataReceived)) == 30_000


def test_a_stream_s_window_is_again_what_it_was_once_everything_is_consumed() -> None:
    pair = ConnectionPair(Limits(stream_window=70_000))
    stream_id = pair.open()
    pair.client.send_message(stream_id, b"x" * 50_000)
    pair.to_server()
    pair.server.acknowledge(stream_id, 50_000)
    pair.to_client()
    assert pair.client.streams[stream_id].send_window == 70_000


def test_trailers_wait_behind_the_messages_of_their_stream() -> None:
    pair = ConnectionPair(client_limits=Limits(stream_window=65_535))
    stream_id = pair.open(end=True)
    pair.server.send_response(stream_id, Response())
    pair.server.send_message(stream_id, b"x" * 65_536)
    assert not pair.server.send_trailers(stream_id, Trailers())
    events = pair.to_client()
    assert not of_type(events, CallEnded)
    assert pair.server.is_open(stream_id)
    pair.client.acknowledge(stream_id, 65_535)
    pair.to_server()
    assert [type(event) for event in pair.to_client()] == [DataReceived, CallEnded]
    assert not pair.server.is_open(stream_id)
    assert stream_id in pair.server.take_writable()


def test_an_unread_stream_does_not_stall_the_others() -> None:
    pair = ConnectionPair(Limits(connection_window=65_535, stream_window=65_535))
    for _ in range(5):
        stream_id = pair.open()
        pair.client.send_message(stream_id, b"x" * 65_535)
        pair.settle()  # The connection's window is reopened although nobody acknowledged anything.
    stream_id = pair.open()
    pair.client.send_message(stream_id, b"hello")
    assert pair.settle() == [DataReceived(stream_id, b"hello")]


def test_streams_that_are_reset_give_their_bytes_back_to_the_connection() -> None:
    pair = ConnectionPair(Limits(connection_window=65_535))
    for _ in range(50):
        stream_id = pair.open()
        pair.client.send_message(stream_id, b"x" * 16_384)
        pair.to_server()
        pair.server.reset(stream_id, ErrorCodes.CANCEL)
        pair.client.send_message(stream_id, b"x" * 16_384)  # In flight when the reset arrives.
        late = pair.client.take_output()
        pair.to_client()
        assert list(pair.server.receive(late)) == []
        pair.to_client()
    stream_id = pair.open()
    pair.client.send_message(stream_id, b"x" * 30_000)
    assert sum(len(event.data) for event in of_type(pair.to_server(), DataReceived)) == 30_000


def test_a_client_with_many_unsent_calls_may_receive() -> None:
    small = Limits(max_output=10_000, max_header_list_size=1_000, max_concurrent_streams=10)
    pair = ConnectionPair(client_limits=small)
    heads = [Request("/s/m", metadata=MultiDict({"x": f"{number:y>500}"})) for number in range(100)]
    calls = [pair.client.open(head) for head in heads]
    pair.server.ping(b"12345678")
    assert pair.to_client() == []
    assert [event.stream_id for event in of_type(pair.to_server(), RequestStarted)] == calls


def test_a_server_with_large_unsent_answers_to_all_open_calls_may_receive() -> None:
    pair = ConnectionPair(Limits(max_output=1_000, max_header_list_size=4_000, max_concurrent_streams=10))
    metadata: MultiDict[str | bytes] = MultiDict({"x": "~" * 3_000})
    calls = [pair.open() for _ in range(10)]
    for stream_id in calls:
        pair.server.send_response(stream_id, Response(metadata))
        pair.server.send_trailers(stream_id, Trailers(metadata=metadata))
    pair.client.ping(b"12345678")
    assert pair.to_server() == []
    assert [event.stream_id for event in of_type(pair.to_client(), CallEnded)] == calls


def test_late_data_and_other_data_count_against_the_same_connection_window() -> None:
    limits = Limits(connection_window=65_535)
    pair = ConnectionPair(limits)
    for late in (True, False):
        stream_id = pair.open()
        pair.client.send_message(stream_id, b"x" * 30_000)  # Less than the half at which an update is sent.
        sent = pair.client.take_output()
        if late:
            pair.server.reset(stream_id, ErrorCodes.CANCEL)
        list(pair.server.receive(sent))
    pair.to_client()
    assert pair.client.send_window + pair.server.credit == limits.connection_window
    assert pair.server.credit < limits.connection_window / 2


def test_a_busy_stream_does_not_delay_another() -> None:
    pair = ConnectionPair(Limits(stream_window=2**20, connection_window=2**20, max_output=20_000))
    busy, other = pair.open(), pair.open()
    pair.client.send_message(busy, b"x" * 500_000)
    pair.client.send_message(other, b"y")
    assert [frame.stream_id for frame in frames(pair.client.take_output())][:2] == [busy, other]


def test_output_is_taken_in_portions_of_its_limit() -> None:
    pair = ConnectionPair(Limits(stream_window=2**20, connection_window=2**20, max_output=50_000))
    stream_id = pair.open()
    pair.client.send_message(stream_id, b"x" * 500_000)
    assert 50_000 <= len(pair.client.take_output()) < 50_000 + 16_384 + 9
    assert pair.client.has_output


def test_a_waiting_sender_is_woken_when_the_buffer_has_room() -> None:
    pair = ConnectionPair(Limits(stream_window=65_535, max_unsent=1_000))
    stream_id = pair.open()
    pair.client.send_message(stream_id, b"x" * 67_000)
    pair.to_server()
    assert pair.client.take_writable() == []
    pair.server.acknowledge(stream_id, 65_535)
    pair.to_client()
    pair.to_server()
    assert pair.client.take_writable() == [stream_id]


def test_half_closing_works_without_an_open_window() -> None:
    pair = ConnectionPair(Limits(stream_window=65_535))
    blocked, done = pair.open(), pair.open()
    pair.client.send_message(blocked, b"x" * 70_000)
    pair.to_server()
    pair.client.half_close(done)
    assert pair.to_server() == [HalfClosed(done)]


def test_a_larger_initial_window_sets_waiting_streams_going() -> None:
    pair = ConnectionPair(Limits(stream_window=65_535))
    stream_id = pair.open()
    pair.client.send_message(stream_id, b"x" * 100_000)
    pair.to_server()
    pair.server.streams[stream_id].receive_window += 200_000 - 65_535
    pair.client.receive(settings({4: 200_000}))  # SETTINGS_INITIAL_WINDOW_SIZE
    assert sum(len(event.data) for event in of_type(pair.to_server(), DataReceived)) == 100_000 - 65_535


def test_window_updates_are_batched() -> None:
    pair = ConnectionPair()
    stream_id = pair.open()
    updates = 0
    for _ in range(1_000):
        pair.client.send_message(stream_id, b"x" * 100)
        pair.to_server()
        pair.server.acknowledge(stream_id, 100)
        output = pair.server.take_output()
        updates += sum(isinstance(frame, WindowUpdateFrame) for frame in frames(output))
        list(pair.client.receive(output))
    assert updates <= 4


def test_padding_is_acknowledged_though_no_application_takes_it() -> None:
    pair = ConnectionPair(Limits(stream_window=65_535))
    stream_id = pair.open()
    for _ in range(1_000):
        padded = DataFrame(stream_id, data=b"x", pad_length=255, flags=["PADDED"]).serialize()
        assert pair.server.receive(padded) == [DataReceived(stream_id, b"x")]
        pair.server.acknowledge(stream_id, 1)
        pair.to_client()
