"""Servers that note each attempt of a call, and the service configs that have them made."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import TypeAlias

import anyio
import pytest
import trio
from grpclib.const import Cardinality

from echo.rpc import Channel, GRPCError, Server, Status
from echo.rpc.testing import memory_channel_to
from tests.support.services import (
    BIDI,
    CLIENT_STREAM,
    SERVER_STREAM,
    UNARY,
    BytesCodec,
    BytesStream,
    Service,
    call,
    unary,
)

CODEC = BytesCodec()
PREVIOUS = "grpc-previous-rpc-attempts"
PUSHBACK = "grpc-retry-pushback-ms"
KINDS = {"One": UNARY, "Many": SERVER_STREAM, "Gather": CLIENT_STREAM, "All": BIDI}

Config: TypeAlias = dict[str, object]


def retrying(attempts: int = 5, backoff: str = "0.001s", *codes: str, longest: str = "10s", **more: object) -> Config:
    """A service config that has all calls retried."""
    policy = {
        "maxAttempts": attempts,
        "initialBackoff": backoff,
        "maxBackoff": longest,
        "backoffMultiplier": 2,
        "retryableStatusCodes": codes or ["UNAVAILABLE"],
    }
    return {"methodConfig": [{"name": [{}], "retryPolicy": policy}], **more}


class Flaky:
    """A server that fails calls as a test asks, and otherwise echoes them.

    Attributes:
        attempts: Each attempt's count of previous attempts; "" if it sent none.
        times: When each attempt arrived.
        failures: How the next attempts fail: a status each, possibly with a pushback. Empty for no failures.
    """

    def __init__(self, *failures: tuple[Status, str | None] | Status | None) -> None:
        self.failures = list(failures)
        self.attempts: list[str | bytes] = []
        self.times: list[float] = []
        self.server = Server([Service(**{name: (kind, self._serve) for name, kind in KINDS.items()})], codec=CODEC)
        self.next: Callable[[], tuple[Status, str | None] | Status | None] = self._next

    def _next(self) -> tuple[Status, str | None] | Status | None:
        return self.failures.pop(0) if self.failures else None

    async def _serve(self, stream: BytesStream) -> None:
        assert stream.metadata is not None
        self.attempts.append(stream.metadata.get(PREVIOUS, ""))
        self.times.append(anyio.current_time())
        messages = [message async for message in stream]
        failure = self.next()
        if failure is None:
            await stream.send_message(b" ".join(messages))
            return
        status, pushback = failure if isinstance(failure, tuple) else (failure, None)
        metadata = {} if pushback is None else {PUSHBACK: pushback}
        await stream.send_trailing_metadata(status=status, status_message="not now", metadata=metadata)

    @asynccontextmanager
    async def channel(self, config: Config) -> AsyncIterator[Channel]:
        async with memory_channel_to(self.server, codec=CODEC, service_config=config) as channel:
            yield channel

    @property
    def pauses(self) -> list[float]:
        return [later - earlier for earlier, later in zip(self.times, self.times[1:], strict=False)]


async def fails(channel: Channel, status: Status, match: str = "not now", timeout: float | None = None) -> None:
    """A unary call ends with this status and a message like this."""
    with pytest.raises(GRPCError, match=match) as raised:
        await unary(channel, "One", b"x", timeout=timeout)
    assert raised.value.status is status


async def leave_two_calls(channel: Channel, *, after: float) -> None:
    """Give up a unary call after so many seconds, and cancel a stream after waiting for its reply for as long."""
    with trio.move_on_after(after):
        await unary(channel, "One")
    async with call(channel, "All", BIDI) as stream, trio.open_nursery() as nursery:
        await stream.send_message(b"x", end=True)

        async def receive() -> None:
            with pytest.raises(GRPCError, match="by its caller"):
                await stream.recv_message()

        nursery.start_soon(receive)
        await trio.sleep(after)
        await stream.cancel()


async def exchange(channel: Channel, name: str, kind: Cardinality) -> bytes | None:
    """A call of any kind; both messages that can be sent are sent."""
    async with call(channel, name, kind) as stream:
        await stream.send_message(b"a")
        if kind.client_streaming:
            await stream.send_message(b"b")
            await stream.end()
        return await stream.recv_message()


def hedging(attempts: int = 3, delay: str = "1s", *codes: str, **more: object) -> dict[str, object]:
    """A service config that has all calls hedged."""
    policy = {"maxAttempts": attempts, "hedgingDelay": delay, "nonFatalStatusCodes": codes or ["UNAVAILABLE"]}
    return {"methodConfig": [{"name": [{}], "hedgingPolicy": policy}], **more}


class Slow:
    """A server where each attempt takes a given time, and then fails or is answered.

    Attributes:
        plans: For each attempt, in order: seconds, and how it fails, or None. The last one applies to all others.
        came: When each attempt arrived, and its count of previous attempts.
        cancelled: The attempts that were cancelled.
    """

    def __init__(self, *plans: tuple[float, Status | None] | tuple[float, Status, str]) -> None:
        self.plans = list(plans)
        self.began = trio.current_time()
        self.came: list[tuple[float, str | bytes]] = []
        self.messages: list[list[bytes]] = []
        self.cancelled: list[int] = []
        self.server = Server([Service(**{name: (kind, self._serve) for name, kind in KINDS.items()})], codec=CODEC)

    async def _serve(self, stream: BytesStream) -> None:
        assert stream.metadata is not None
        number = len(self.came)
        self.came.append((round(trio.current_time() - self.began, 3), stream.metadata.get(PREVIOUS, "")))
        plan = self.plans[min(number, len(self.plans) - 1)]
        try:
            messages = [message async for message in stream]
            self.messages.append(messages)
            await trio.sleep(plan[0])
        except trio.Cancelled:
            self.cancelled.append(number)
            raise
        if plan[1] is None:
            await stream.send_message(b"%d:" % number + b" ".join(messages))
            return
        metadata = {PUSHBACK: plan[2]} if len(plan) == 3 else {}
        await stream.send_trailing_metadata(status=plan[1], status_message=f"failed {number}", metadata=metadata)

    @asynccontextmanager
    async def channel(self, config: dict[str, object]) -> AsyncIterator[Channel]:
        async with memory_channel_to(self.server, codec=CODEC, service_config=config) as channel:
            yield channel
