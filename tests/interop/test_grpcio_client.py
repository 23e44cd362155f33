"""A stock grpcio client calls every rpc of our server, over real TCP, as it would call a server of grpcio's own."""

from functools import partial

import grpc
import pytest
import trio
import trio.testing

from echo.rpc import Cardinality
from tests.interop.from_grpcio import KINDS, UNARY, Requests, failure, replies, start
from tests.support.grpcio import CODES, PATIENCE, Message, StreamMessage, grpcio_client, in_thread
from tests.support.ours import our_server

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
