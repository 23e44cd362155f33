"""Calls with an observer, which serves and observes them; other calls are served as usual."""

from collections.abc import Sequence
from typing import Any

import pytest
import trio.testing
from grpclib.const import Handler

from echo.rpc import GRPCError, Server, ServerStream, Status
from echo.rpc.observed_service import Field, ObservedService, ServerCall
from echo.rpc.testing import memory_channel, memory_channel_to
from tests.support.services import BIDI, CODEC, ECHO, call, path, unary


class CallObserver:
    """Answers nothing by itself, and records what it is called with."""

    def __init__(self, call: ServerCall, fields: Sequence[Field]) -> None:
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


class Observers(list[CallObserver]):
    """All that there were."""

    def observer_for(self, call: ServerCall, fields: Sequence[Field]) -> CallObserver:
        self.append(CallObserver(call, fields))
        return self[-1]


async def test_only_calls_whose_metadata_has_the_prefix_are_observed() -> None:
    observers = Observers()
    async with memory_channel([ObservedService(ECHO, "x-odd", observers.observer_for)], codec=CODEC) as channel:
        assert await unary(channel, "One", b"hi", metadata={"x-even": "1", "x-o": "2"}) == b"hi"
        assert observers == []
        assert await unary(channel, "One", b"hi", metadata={"x-even": "1", "x-odd": "2"}) == b"hi"
        await trio.testing.wait_all_tasks_blocked()
    (observer,) = observers
    assert observer.heard == ["half-closed", "serve False", "over OK"]
    names = [field[0] for field in observer.fields]
    assert names[0] == b":method"
    assert names[-2:] == [b"x-even", b"x-odd"]


async def test_an_observer_s_exception_is_the_call_s_status() -> None:
    observers = Observers()
    async with memory_channel([ObservedService(ECHO, "x-odd", observers.observer_for)], codec=CODEC) as channel:
        with pytest.raises(GRPCError, match="no"):
            await unary(channel, "One", b"hi", metadata={"x-odd": "fail"})
        await trio.testing.wait_all_tasks_blocked()
    assert observers[0].heard[-1] == "over ABORTED"


async def test_an_observer_is_notified_of_a_cancelled_call() -> None:
    observers = Observers()
    server = Server([ObservedService(ECHO, "x-odd", observers.observer_for)], codec=CODEC)
    async with memory_channel_to(server, codec=CODEC) as channel:
        async with call(channel, "All", BIDI, metadata={"x-odd": "1"}) as stream:
            await stream.send_message(b"hi")
            assert await stream.recv_message() == b"hi"
            await stream.cancel()
        await trio.testing.wait_all_tasks_blocked()
        assert observers[0].heard == ["serve False", "over CANCELLED"]
        assert server.calls == 0


def test_an_observed_service_has_the_methods_of_the_service() -> None:
    assert path("One") in ObservedService(ECHO, "x-odd", Observers().observer_for).__mapping__()


def test_services_with_different_prefixes_are_refused() -> None:
    observer_for = Observers().observer_for
    with pytest.raises(ValueError, match="one prefix"):
        Server([ObservedService(ECHO, "x-odd", observer_for), ObservedService(ECHO, "x-even", observer_for)])
