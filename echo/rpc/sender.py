"""The task beside a call that sends messages from an iterable while its caller receives."""

from collections.abc import AsyncGenerator, AsyncIterable, Iterable
from contextlib import AsyncExitStack
from typing import Generic, TypeAlias, TypeVar

import anyio
from grpclib.exceptions import StreamTerminatedError

from echo.rpc.client_stream import ClientStream

SendT = TypeVar("SendT")
RecvT = TypeVar("RecvT")

Messages: TypeAlias = Iterable[SendT] | AsyncIterable[SendT]


class Sender(Generic[SendT, RecvT]):
    """Sends the messages of one call, then half-closes it.

    Args:
        stream: The call, whose request was sent.
        messages: What to send. An async generator is closed at the end, whichever way that comes.
    """

    def __init__(self, stream: ClientStream[SendT, RecvT], messages: Messages[SendT]) -> None:
        self._stream = stream
        self._messages = messages
        self._scope = anyio.CancelScope()
        self._ended = anyio.Event()
        self._failure: Exception | None = None

    async def run(self) -> None:
        """Send until the messages or the call are over. Raises nothing but being cancelled."""
        try:
            with self._scope:
                await self._send()
        except Exception as error:  # noqa: BLE001 - `raise_failure` raises it, to whom it concerns
            self._failure = error
            await self._stream.cancel()
        finally:
            self._ended.set()

    async def stop(self) -> None:
        """Send no more, and wait until that is so."""
        self._scope.cancel()
        await self._ended.wait()

    def raise_failure(self) -> None:
        """Raise what went wrong in making the messages or in sending them, if anything did."""
        if self._failure is not None:
            raise self._failure from self._failure.__cause__

    async def _send(self) -> None:
        async with AsyncExitStack() as stack:
            messages = self._messages if isinstance(self._messages, AsyncIterable) else _each(self._messages)
            if isinstance(messages, AsyncGenerator):
                stack.push_async_callback(messages.aclose)
            async for message in messages:
                try:
                    await self._stream.send_message(message)
                except StreamTerminatedError:
                    return  # The server has ended the call with OK, and wants no more.
        await self._stream.end()


async def _each(messages: Iterable[SendT]) -> AsyncGenerator[SendT, None]:
    for message in messages:
        yield message
