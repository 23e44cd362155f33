"""When the head of a streaming echo's response is sent: before the first message, or with it."""

import trio
from grpclib.events import SendInitialMetadata, listen

from echo.pb.com.gopay.echo.streaming import StreamMessage
from echo.rpc import Cardinality, Server
from echo.services import StreamingEchoService
from tests.support.http2_frames import data
from tests.support.raw import raw_client
from tests.support.serving import serving
from tests.support.streaming_echo import ALL, BIDI, PATHS, echo
from tests.support.target import request


@ALL
async def test_a_call_is_announced_before_its_first_response(kind: Cardinality) -> None:
    async with echo() as ours, ours.call(kind) as stream:
        await stream.send_request()
        with trio.fail_after(20):
            await stream.recv_initial_metadata()
        assert stream.initial_metadata is not None
        await stream.cancel()


async def test_the_head_can_be_waited_for_while_another_task_waits_for_messages() -> None:
    async with echo() as ours, ours.call(BIDI) as stream:
        replies: list[str] = []

        async def receive() -> None:
            replies.extend([reply.response async for reply in stream])

        await stream.send_request()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(receive)
            with trio.fail_after(20):
                await stream.recv_initial_metadata()
            await stream.send_message(StreamMessage(stream_id="a", message="hi"))
            await stream.end()
        assert replies == ["from server: hi"]


async def test_a_call_that_fails_before_its_handler_waits_is_answered_by_trailers_alone() -> None:
    server = Server([StreamingEchoService()])
    async with serving(server) as port, raw_client(port) as client:
        empty = data(1, b"\0\0\0\0\0", end=True)
        await client.send(client.head(1, request(PATHS[BIDI])) + empty)
        (head,) = (await client.heard(1)).heads
        assert (head[":status"], head["grpc-message"]) == ("200", "stream_id is required")


async def test_the_head_leaves_with_a_first_response_that_is_made_at_once() -> None:
    server = Server([StreamingEchoService()])
    async with serving(server) as port, raw_client(port) as client:
        await client.send(client.head(1, request(PATHS[BIDI])) + data(1, b"\0\0\0\0\3\x0a\1a"))
        await client.until(lambda: 1 in client.streams and client.streams[1].data)
        assert client.streams[1].heads == [
            {":status": "200", "content-type": "application/grpc", "grpc-accept-encoding": "identity,gzip"}
        ]


async def test_listeners_to_the_head_of_a_response_are_asked_before_it_is_announced() -> None:
    async def add(event: SendInitialMetadata) -> None:
        event.metadata["added"] = "by a listener"

    async with echo() as ours:
        listen(ours.server, SendInitialMetadata, add)
        async with ours.call(BIDI) as stream:
            await stream.send_request()
            await stream.recv_initial_metadata()
            assert stream.initial_metadata == {"added": "by a listener"}
            await stream.cancel()
