"""Calls whose evidence is looked at, by the streams of a channel or frame by frame."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import trio
import trio.testing

from echo.pb.com.gopay.echo.evidence import EvidenceStub, GetRequest, Record
from echo.rpc import Server, bind, open_channel
from echo.services import echo_services
from tests.support.raw import RawConnection, raw_client
from tests.support.scripted import STREAMING, Echo
from tests.support.serving import LOOPBACK, serving
from tests.support.target import request

NAME: tuple[str, str] = ("call-id", "a")
HEAD = request(f"{STREAMING}/BidirectionalStream", x_echo_call_id="a")


@asynccontextmanager
async def raw_echo() -> AsyncIterator[tuple[RawConnection, Callable[[], Awaitable[Record]]]]:
    """The services over TCP: a client of them by hand, and what asks for the record."""
    async with (
        serving(Server(echo_services().services)) as port,
        raw_client(port) as client,
        open_channel(LOOPBACK, port) as channel,
        bind(EvidenceStub, channel) as stub,
    ):
        yield client, lambda: stub.get(GetRequest("a"))


async def recorded(echo: Echo, name: str = "GetReply", *script: tuple[str, str], messages: int = 1) -> Record:
    """The record of a call that is made and ends."""
    await echo.call(name, NAME, *script, messages=messages)
    await trio.testing.wait_all_tasks_blocked()
    return await echo.record()


def end(record: Record) -> tuple[str, str, str]:
    """How the call ended."""
    return record.outcome, record.status, record.cause
