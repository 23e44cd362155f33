"""The log of calls: one event for each, whatever became of it."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

import pytest
import structlog
import trio
from anyio.abc import SocketAttribute
from grpclib.const import Handler

from echo.cli.calls import log_calls
from echo.pb.com.gopay.echo import Message, Response
from echo.rpc import Cardinality, Channel, GRPCError, Server, ServerStream, Status, open_channel, open_tcp_listener

PATH = "/test.Service/Method"


class Service:
    """Does with a call what its message says."""

    def __mapping__(self) -> Mapping[str, Handler]:
        return {PATH: Handler(self.method, Cardinality.UNARY_UNARY, Message, Response)}

    async def method(self, stream: ServerStream[Message, Response]) -> None:
        request = await stream.recv_message()
        assert request is not None
        if request.message == "refuse":
            raise GRPCError(Status.NOT_FOUND, "nothing here")
        if request.message == "fail":
            raise LookupError("a bug")
        if request.message == "hang":
            await trio.sleep_forever()
        await stream.send_message(Response(success=True))


@asynccontextmanager
async def logged_channel() -> AsyncIterator[Channel]:
    server = Server([Service()])
    log_calls(server)
    listener = await open_tcp_listener("127.0.0.1", 0)
    async with trio.open_nursery() as nursery:
        await nursery.start(server.serve, listener)
        async with open_channel("127.0.0.1", listener.extra(SocketAttribute.local_port)) as channel:
            yield channel
        nursery.cancel_scope.cancel()


async def call(channel: Channel, message: str, timeout: float | None = None) -> None:
    async with channel.request(PATH, Cardinality.UNARY_UNARY, Message, Response, timeout=timeout) as stream:
        await stream.send_message(Message(message=message), end=True)
        await stream.recv_message()


@pytest.mark.parametrize(
    ("message", "status", "outcome"),
    [
        ("hi", None, "OK"),
        ("refuse", Status.NOT_FOUND, "NOT_FOUND"),
        ("fail", Status.INTERNAL, "INTERNAL"),
        ("hang", Status.DEADLINE_EXCEEDED, "cancelled"),
    ],
)
async def test_a_call_is_logged_with_method_peer_time_and_outcome(
    message: str, status: Status | None, outcome: str
) -> None:
    with structlog.testing.capture_logs() as events:
        async with logged_channel() as channel:
            if status is None:
                await call(channel, message)
            else:
                with pytest.raises(GRPCError) as caught:
                    await call(channel, message, timeout=0.2 if message == "hang" else None)
                assert caught.value.status is status
    (event,) = [event for event in events if event["event"] == "call"]
    assert event["method"] == PATH
    assert event["peer"].startswith("127.0.0.1:")
    assert event["outcome"] == outcome
    assert event["seconds"] >= 0
    assert event["log_level"] == "debug"
