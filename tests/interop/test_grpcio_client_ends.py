"""Calls of a stock grpcio client that end early at our server: by deadline, by cancelling, and because it drains."""

import grpc
import pytest
import trio
import trio.testing

from echo.rpc import Cardinality
from tests.interop.from_grpcio import BIDI, CLIENT_STREAM, SERVER_STREAM, UNARY, Requests, failure, replies, start
from tests.support.grpcio import StreamMessage, grpcio_client, in_thread
from tests.support.leaks import settles
from tests.support.ours import our_server
from tests.support.recording import DEADLINE, RECEIVING, SENDING, SLEEPING


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
