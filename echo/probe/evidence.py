"""What the server saw of a call: its records for a call-id."""

from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from typing import Final

import trio
from multidict import MultiDict

from echo.pb.com.gopay.echo.evidence import GetRequest, Record
from echo.rpc import Cardinality, Channel, GRPCError, Status

__all__ = ["Address", "Record", "ask_until", "fetch", "headers_of", "is_over"]

TIMEOUT: Final = 2.0  # Seconds that an answer may take.
POLL: Final = 0.05  # Seconds between two questions.
MOST: Final = 16  # Connections on which one address is asked.


class Address:
    """An address that may lead to several servers: workers, or the pods behind a Service or a path.

    Each connection may lead to another of them. As long as none has a record, each `look` asks on twice as many
    connections. It closes none: where connections go to the server with the fewest, the next would go to the same one.

    Args:
        opening: Makes a channel to it.
        stack: Closes the channels.
        headers: To send along.
    """

    def __init__(
        self,
        opening: Callable[[], AbstractAsyncContextManager[Channel]],
        stack: AsyncExitStack,
        headers: Sequence[tuple[str, str]] = (),
    ) -> None:
        self._opening = opening
        self._stack = stack
        self._headers = headers
        self._channels: list[Channel] = []
        self._wanted = 1

    async def look(self, call_id: str) -> list[Record] | None:
        """As `fetch`, of the first server that has a record."""
        while len(self._channels) < self._wanted:
            self._channels.append(await self._stack.enter_async_context(self._opening()))
        answers: dict[Channel, list[Record] | None] = {}

        async def ask(channel: Channel) -> None:
            answers[channel] = await fetch(channel, call_id, self._headers)

        async with trio.open_nursery() as nursery:
            for channel in self._channels:
                nursery.start_soon(ask, channel)
        for channel, answer in answers.items():
            if answer:
                self._channels, self._wanted = [channel], 1
                return answer
        if all(answer is None for answer in answers.values()):
            return None
        self._wanted = min(2 * self._wanted, MOST)
        return []


async def fetch(channel: Channel, call_id: str, headers: Sequence[tuple[str, str]] = ()) -> list[Record] | None:
    """Ask the server at the end of a channel.

    Returns:
        The attempts, oldest first; an empty list if it has not seen the call; None if it cannot be asked.
    """
    request = channel.request(
        "/com.gopay.echo.evidence.Evidence/Get",
        Cardinality.UNARY_UNARY,
        GetRequest,
        Record,
        timeout=TIMEOUT,
        metadata=MultiDict(headers),
    )
    try:
        async with request as stream:
            await stream.send_message(GetRequest(call_id))
            latest = await stream.recv_message()
    except GRPCError as error:
        return [] if error.status is Status.NOT_FOUND else None
    return None if latest is None else [*latest.other_attempts, latest]


async def ask_until(
    ask: Callable[[], Awaitable[list[Record] | None]],
    *,
    until: Callable[[Record], object],
    within: float,
    attempts: int,
) -> list[Record] | None:
    """Ask repeatedly until there are as many ``attempts`` and ``until`` holds for all, or the time is over.

    Returns:
        The last valid answer.
    """
    found: list[Record] | None = None
    last = trio.current_time() + within
    while True:
        seen = await ask()
        found = seen if seen is not None else found
        if found is not None and len(found) >= attempts and all(until(record) for record in found):
            return found
        if trio.current_time() >= last:
            return found
        await trio.sleep(POLL)


def is_over(record: Record) -> bool:
    """Whether the call has ended on the server."""
    return bool(record.ended)


def headers_of(record: Record) -> list[tuple[str, str]]:
    """The request's headers as they arrived, order and repeats kept, pseudo-header fields included."""
    return [(header.name, header.value) for header in record.request_headers]
