"""A stock grpcio client drives every rpc of our server, over real TCP, as it would drive one of its own make."""

from collections.abc import Iterable
from functools import partial
from queue import SimpleQueue

import grpc
import pytest
import trio
import trio.testing

from echo.rpc import Cardinality, Limits
from tests.support.grpcio import CODES, PATIENCE, Client, Dynamic, Message, StreamMessage, grpcio_client, in_thread
from tests.support.leaks import settles
from tests.support.ours import our_server
from tests.support.recording import (
    DEADLINE,
    RECEIVING,
    SENDING,
    SLEEPING,
)

UNARY = Cardinality.UNARY_UNARY
CLIENT_STREAM = Cardinality.STREAM_UNARY
SERVER_STREAM = Cardinality.UNARY_STREAM
BIDI = Cardinality.STREAM_STREAM

LIMIT = Limits().max_message_size
MEGABYTE = "é" * 500_000

KINDS = pytest.mark.parametrize("kind", list(Cardinality), ids=lambda kind: kind.name.lower())


class Requests:
    """A client's side of a call, as an iterator: messages as they are put in, until it is ended."""

    def __init__(self, *first: Dynamic) -> None:
        self._queue: SimpleQueue[Dynamic] = SimpleQueue()
        for message in first:
            self._queue.put(message)

    def put(self, message: Dynamic) -> None:
        self._queue.put(message)

    def end(self) -> None:
        self._queue.put(None)

    def __iter__(self) -> "Requests":
        return self

    def __next__(self) -> Dynamic:
        message = self._queue.get()
        if message is None:
            raise StopIteration
        return message


def start(
    client: Client,
    kind: Cardinality,
    requests: Iterable[Dynamic],
    *,
    timeout: float = PATIENCE,
    **metadata: str | bytes,
) -> Dynamic:
    """Start a call of the recorder's; keys are written with underscores."""
    pairs = [(key.replace("_", "-"), value) for key, value in metadata.items()]
    method = client.recorder(kind)
    begin = method if kind.server_streaming else method.future
    request = iter(requests) if kind.client_streaming else next(iter(requests))
    return begin(request, timeout=timeout, metadata=pairs)


def replies(kind: Cardinality, call: Dynamic) -> list[Dynamic]:
    """What the call answers; blocks until its end. Raises `grpc.RpcError`."""
    return list(call) if kind.server_streaming else [call.result()]


def failure(kind: Cardinality, call: Dynamic) -> Dynamic:
    """The error the call ends with; blocks until then."""
    with pytest.raises(grpc.RpcError) as raised:
        replies(kind, call)
    return raised.value


# Values


@pytest.mark.parametrize("text", ["hello", "", "Grüße, 世界 🌍", "a\0b\n"])
async def test_get_reply_answers_with_the_message(text: str) -> None:
    async with our_server(descriptors=False) as ours, grpcio_client(ours.port) as client:
        reply = await in_thread(client.get_reply, Message(message=text), timeout=PATIENCE)
        assert (reply.success, reply.response) == (True, f"from server:{text}")


@pytest.mark.parametrize("count", [0, 1, 3])
async def test_client_stream_counts_the_messages(count: int) -> None:
    async with our_server(descriptors=False) as ours, grpcio_client(ours.port) as client:
        messages = [StreamMessage(stream_id=f"s{number}", message="hi") for number in range(count)]
        reply = await in_thread(client.client_stream, iter(messages), timeout=PATIENCE)
        assert reply.response == f"from server: received {count} messages"
        assert (reply.stream_id, reply.sequence_number, reply.success) == ("s0" if count else "", count, True)


async def test_server_stream_answers_five_times_a_second_apart(mock_clock: trio.testing.MockClock) -> None:
    async with our_server(descriptors=False) as ours, grpcio_client(ours.port) as client:
        call = await in_thread(client.server_stream, StreamMessage(stream_id="a", message="hi"), timeout=PATIENCE)
        answers = [await in_thread(next, call)]
        for _ in range(4):
            await trio.testing.wait_all_tasks_blocked()  # The handler has sent this answer: now it waits for the time.
            mock_clock.jump(1)
            answers.append(await in_thread(next, call))
        assert not await in_thread(list, call)  # No wait after the last.
        assert [answer.sequence_number for answer in answers] == [1, 2, 3, 4, 5]
        assert [answer.response for answer in answers] == [f"from server: hi (echo {n}/5)" for n in range(1, 6)]
        assert {answer.stream_id for answer in answers} == {"a"}
        assert trio.current_time() == 4


async def test_bidirectional_stream_answers_each_message_as_it_comes() -> None:
    async with our_server(descriptors=False) as ours, grpcio_client(ours.port) as client:
        requests = Requests()
        call = client.bidirectional_stream(requests, timeout=PATIENCE)
        for number, text in enumerate(["one", "two", "drei"], 1):
            requests.put(StreamMessage(stream_id="a", message=text))
            answer = await in_thread(next, call)
            assert (answer.stream_id, answer.sequence_number, answer.success) == ("a", number, True)
            assert answer.response == f"from server: {text}"
            assert answer.timestamp > 1_700_000_000 * 10**9
        requests.end()
        assert await in_thread(list, call) == []
        assert await in_thread(call.code) is grpc.StatusCode.OK


async def test_a_message_without_a_stream_id_is_refused() -> None:
    async with our_server(descriptors=False) as ours, grpcio_client(ours.port) as client:
        nameless = StreamMessage(message="hi")
        for call in (
            partial(client.client_stream, iter([nameless]), timeout=PATIENCE),
            lambda: list(client.server_stream(nameless, timeout=PATIENCE)),
            lambda: list(client.bidirectional_stream(iter([nameless]), timeout=PATIENCE)),
        ):
            with pytest.raises(grpc.RpcError) as raised:
                await in_thread(call)
            assert raised.value.code() is grpc.StatusCode.INVALID_ARGUMENT
            assert raised.value.details() == "stream_id is required"


# Metadata and status


@KINDS
async def test_metadata_and_trailers_go_both_ways(kind: Cardinality) -> None:
    async with our_server(descriptors=False) as ours, grpcio_client(ours.port) as client:
        call = start(
            client,
            kind,
            [StreamMessage()],
            initial_text="some text",
            initial_octets_bin=b"\x00\xff,;\n",
            trailing_text="~ more ~",
            trailing_octets_bin=bytes(range(256)),
            trailing_empty_bin=b"",
        )
        await in_thread(replies, kind, call)
        seen = await ours.recorder.calls.next()
        assert seen.metadata["initial-octets-bin"] == b"\x00\xff,;\n"
        assert seen.metadata["initial-text"] == "some text"
        initial = dict(await in_thread(call.initial_metadata))
        assert initial.items() >= {"initial-text": "some text", "initial-octets-bin": b"\x00\xff,;\n"}.items()
        trailing = dict(await in_thread(call.trailing_metadata))
        assert trailing == {
            "trailing-text": "~ more ~",
            "trailing-octets-bin": bytes(range(256)),
            "trailing-empty-bin": b"",
        }


async def test_a_repeated_key_keeps_its_values_and_their_order() -> None:
    async with our_server(descriptors=False) as ours, grpcio_client(ours.port) as client:
        pairs = [("trailing-a", "1"), ("trailing-a", "2"), ("trailing-a-bin", b"3"), ("trailing-a-bin", b"4")]
        call = client.recorder(UNARY).future(StreamMessage(), timeout=PATIENCE, metadata=pairs)
        await in_thread(call.result)
        assert [tuple(pair) for pair in call.trailing_metadata()] == pairs


@KINDS
async def test_a_status_arrives_with_its_message_and_details(kind: Cardinality) -> None:
    message = "nö, 不行 100% 🙅\n"
    async with our_server(descriptors=False) as ours, grpcio_client(ours.port) as client:
        call = start(
            client,
            kind,
            [StreamMessage()],
            want_status=str(grpc.StatusCode.FAILED_PRECONDITION.value[0]),
            want_status_message_bin=message.encode(),
            want_status_details_bin=b"\x08\x09\x12\x02no",
            trailing_reason="because",
        )
        error = await in_thread(failure, kind, call)
        assert (error.code(), error.details()) == (grpc.StatusCode.FAILED_PRECONDITION, message)
        trailing = dict(error.trailing_metadata())
        assert trailing == {"trailing-reason": "because", "grpc-status-details-bin": b"\x08\x09\x12\x02no"}


async def test_every_status_code_arrives() -> None:
    async with our_server(descriptors=False) as ours, grpcio_client(ours.port) as client:
        for number, code in CODES.items():
            if code is not grpc.StatusCode.OK:
                error = await in_thread(
                    failure, UNARY, start(client, UNARY, [StreamMessage()], want_status=str(number))
                )
                assert error.code() is code


@pytest.mark.parametrize("path", ["/com.gopay.echo.Server/Nothing", "/no.such.Service/GetReply", "/", "/a/b/c"])
async def test_unknown_methods_and_services_are_unimplemented(path: str) -> None:
    async with our_server(descriptors=False) as ours, grpcio_client(ours.port) as client:
        error = await in_thread(failure, UNARY, client.method(path, UNARY).future(StreamMessage(), timeout=PATIENCE))
        assert error.code() is grpc.StatusCode.UNIMPLEMENTED


# Deadline and cancellation


async def test_a_deadline_is_known_to_the_handler_and_cancels_it() -> None:
    async with our_server(descriptors=False) as ours, grpcio_client(ours.port) as client:
        await in_thread(replies, UNARY, start(client, UNARY, [StreamMessage()]))  # So that there is a connection.
        await ours.recorder.calls.next()
        requests = {kind: Requests(StreamMessage()) for kind in Cardinality}
        calls = {kind: start(client, kind, requests[kind], timeout=DEADLINE, want_wait=SLEEPING) for kind in requests}
        for _ in calls:
            await (await ours.recorder.calls.next()).is_cancelled_in(DEADLINE)
        codes = {kind: (await in_thread(failure, kind, call)).code() for kind, call in calls.items()}
        assert codes == dict.fromkeys(Cardinality, grpc.StatusCode.DEADLINE_EXCEEDED)
        for each in requests.values():
            each.end()


@pytest.mark.parametrize(
    ("kind", "where"),
    [
        *((kind, SLEEPING) for kind in Cardinality),
        (CLIENT_STREAM, RECEIVING),
        (BIDI, RECEIVING),
        (SERVER_STREAM, SENDING),
        (BIDI, SENDING),
    ],
)
@pytest.mark.parametrize("how", ["call cancelled", "channel closed"])
async def test_cancelling_is_seen_by_the_handler_where_it_waits(kind: Cardinality, where: str, how: str) -> None:
    async with our_server(descriptors=False) as ours, grpcio_client(ours.port) as client:
        requests = Requests(StreamMessage())
        call = start(client, kind, requests, want_wait=where)
        seen = await ours.recorder.calls.next()
        with trio.fail_after(20):
            await seen.waiting.wait()
        assert not seen.ended.is_set()
        if how == "call cancelled":
            await in_thread(call.cancel)
        else:
            await in_thread(client.channel.close)
        with trio.fail_after(20):
            await seen.ended.wait()
        assert seen.cancelled.is_set(), f"the handler was not cancelled, but ended by {seen.error!r}"
        assert call.code() is grpc.StatusCode.CANCELLED
        requests.end()
        await settles(lambda: ours.server.calls, 0, "calls of the server")


async def test_a_drain_lets_a_stock_client_finish_what_runs() -> None:
    async with (
        our_server(descriptors=False) as ours,
        grpcio_client(ours.port) as client,
        trio.open_nursery() as nursery,
    ):
        ours.recorder.gate = trio.Event()
        call = start(client, UNARY, [StreamMessage(message="last orders")])
        await ours.recorder.calls.next()
        nursery.start_soon(ours.server.drain, 20)
        await trio.testing.wait_all_tasks_blocked(0.01)
        ours.recorder.gate.set()
        (reply,) = await in_thread(replies, UNARY, call)
        assert reply.response == "last orders"
        await settles(lambda: ours.server.connections, 0, "connections of the server")


@pytest.mark.parametrize("where", [SENDING, SLEEPING])
async def test_a_drain_beyond_its_grace_is_told_as_unavailable_even_in_the_middle_of_a_message(where: str) -> None:
    async with our_server(descriptors=False) as ours, grpcio_client(ours.port) as client:
        requests = Requests(StreamMessage())
        call = start(client, BIDI, requests, want_wait=where)
        seen = await ours.recorder.calls.next()
        with trio.fail_after(20):
            await seen.waiting.wait()
            await ours.server.drain(0)
        assert seen.cancelled.is_set(), f"the handler was not cancelled, but ended by {seen.error!r}"
        error = await in_thread(failure, BIDI, call)
        assert error.code() is grpc.StatusCode.UNAVAILABLE
        requests.end()


# Volume


@KINDS
async def test_a_megabyte_goes_each_way(kind: Cardinality) -> None:
    async with our_server(descriptors=False) as ours, grpcio_client(ours.port) as client:
        answers = await in_thread(replies, kind, start(client, kind, [StreamMessage(message=MEGABYTE)]))
        assert {answer.response for answer in answers} == {MEGABYTE}


@KINDS
async def test_a_message_above_the_limit_is_refused_and_the_connection_lives_on(kind: Cardinality) -> None:
    async with our_server(descriptors=False) as ours, grpcio_client(ours.port) as client:
        overhead = len(StreamMessage(message="x" * LIMIT).SerializeToString()) - LIMIT
        at_the_limit = StreamMessage(message="x" * (LIMIT - overhead))
        above = StreamMessage(message="x" * (LIMIT - overhead + 1))
        error = await in_thread(failure, kind, start(client, kind, [above]))
        assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        reply = await in_thread(client.recorder(CLIENT_STREAM), iter([at_the_limit, StreamMessage()]), timeout=PATIENCE)
        assert reply.sequence_number == 2
        assert ours.server.connections == 1


@pytest.mark.parametrize(("limit", "at_once"), [(100, 100), (2_000, 1_000)])
async def test_a_thousand_calls_at_once_succeed_on_one_connection(limit: int, at_once: int) -> None:
    async with our_server(descriptors=False, max_concurrent_streams=limit) as ours, grpcio_client(ours.port) as client:
        ours.recorder.gate = trio.Event()

        def begin() -> list[Dynamic]:
            stub = client.recorder(UNARY)
            return [stub.future(StreamMessage(message=f"call {number}"), timeout=PATIENCE) for number in range(1_000)]

        calls = await in_thread(begin)
        await settles(lambda: ours.server.calls, at_once, "calls at once")
        assert ours.server.connections == 1
        ours.recorder.gate.set()
        answers = await in_thread(lambda: [call.result() for call in calls])
        assert [answer.response for answer in answers] == [f"call {number}" for number in range(1_000)]
        assert ours.server.connections == 1


@pytest.mark.slow
async def test_a_hundred_thousand_messages_arrive_in_order() -> None:
    total = 100_000
    async with our_server(descriptors=False) as ours, grpcio_client(ours.port) as client:
        call = start(client, SERVER_STREAM, [StreamMessage(message="m")], want_replies=str(total))

        def count() -> int:
            number = 0
            for number, answer in enumerate(call, 1):
                assert answer.sequence_number == number
            return number

        assert await in_thread(count) == total
        assert call.code() is grpc.StatusCode.OK


async def test_compressed_messages_are_taken_and_inflated_within_the_limit() -> None:
    async with (
        our_server(descriptors=False) as ours,
        grpcio_client(ours.port, compression=grpc.Compression.Gzip) as client,
    ):
        reply = await in_thread(client.get_reply, Message(message=MEGABYTE), timeout=PATIENCE)
        assert reply.response == f"from server:{MEGABYTE}"
        messages = [StreamMessage(message="x" * size, stream_id="a") for size in (1, 10_000, 100)]
        answers: list[Dynamic] = await in_thread(
            lambda: list(client.bidirectional_stream(iter(messages), timeout=PATIENCE))
        )
        assert [answer.response for answer in answers] == [f"from server: {message.message}" for message in messages]
        call = client.get_reply.future(Message(message="x" * (LIMIT + 1)), timeout=PATIENCE)
        error = await in_thread(failure, UNARY, call)
        assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert "decompressed" in error.details()  # So it did travel compressed.
