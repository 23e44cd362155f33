"""Calls with an attendant, which serves and observes them; other calls are served as usual."""

from collections.abc import Sequence
from typing import Any

import pytest
import trio.testing
from grpclib.const import Handler

from echo.rpc import GRPCError, Server, ServerStream, Status
from echo.rpc.attended import Attended, ReceivedField, ServerCall
from echo.rpc.testing import memory_channel, memory_channel_to
from tests.support.services import BIDI, ECHO, BytesCodec, call, path, unary

CODEC = BytesCodec()


class Attendant:
    """Answers nothing by itself, and records what it is told."""

    def __init__(self, call: ServerCall, fields: Sequence[ReceivedField]) -> None:
        self.call = call
        self.fields = list(fields)
        self.heard: list[str] = []

    async def serve(self, stream: ServerStream[Any, Any], handler: Handler, *, announced: bool) -> None:
        self.heard.append(f"serve {announced}")
        if stream.metadata["x-odd"] == "fail":
            raise GRPCError(Status.ABORTED, "no")
        await handler.func(stream)

    def half_closed(self) -> None:
        self.heard.append("half-closed")

    def stalled(self, seconds: float) -> None:
        self.heard.append(f"stalled {seconds}")

    def over(self) -> None:
        self.heard.append(f"over {self.call.outcome(0)[0].name}")


class Attendants(list[Attendant]):
    """All that there were."""

    def attend(self, call: ServerCall, fields: Sequence[ReceivedField]) -> Attendant:
        self.append(Attendant(call, fields))
        return self[-1]


async def test_only_calls_whose_metadata_has_the_prefix_are_attended() -> None:
    attendants = Attendants()
    async with memory_channel([Attended(ECHO, "x-odd", attendants.attend)], codec=CODEC) as channel:
        assert await unary(channel, "One", b"hi", metadata={"x-even": "1", "x-o": "2"}) == b"hi"
        assert attendants == []
        assert await unary(channel, "One", b"hi", metadata={"x-even": "1", "x-odd": "2"}) == b"hi"
        await trio.testing.wait_all_tasks_blocked()
    (attendant,) = attendants
    assert attendant.heard == ["half-closed", "serve False", "over OK"]
    names = [field[0] for field in attendant.fields]
    assert names[0] == b":method"
    assert names[-2:] == [b"x-even", b"x-odd"]


async def test_an_attendant_s_exception_is_the_call_s_status() -> None:
    attendants = Attendants()
    async with memory_channel([Attended(ECHO, "x-odd", attendants.attend)], codec=CODEC) as channel:
        with pytest.raises(GRPCError, match="no"):
            await unary(channel, "One", b"hi", metadata={"x-odd": "fail"})
        await trio.testing.wait_all_tasks_blocked()
    assert attendants[0].heard[-1] == "over ABORTED"


async def test_an_attendant_is_notified_of_a_cancelled_call() -> None:
    attendants = Attendants()
    server = Server([Attended(ECHO, "x-odd", attendants.attend)], codec=CODEC)
    async with memory_channel_to(server, codec=CODEC) as channel:
        async with call(channel, "All", BIDI, metadata={"x-odd": "1"}) as stream:
            await stream.send_message(b"hi")
            assert await stream.recv_message() == b"hi"
            await stream.cancel()
        await trio.testing.wait_all_tasks_blocked()
        assert attendants[0].heard == ["serve False", "over CANCELLED"]
        assert server.calls == 0


def test_an_attended_service_has_the_methods_of_the_service() -> None:
    assert path("One") in Attended(ECHO, "x-odd", Attendants().attend).__mapping__()


def test_services_with_different_prefixes_are_refused() -> None:
    attend = Attendants().attend
    with pytest.raises(ValueError, match="one prefix"):
        Server([Attended(ECHO, "x-odd", attend), Attended(ECHO, "x-even", attend)])
