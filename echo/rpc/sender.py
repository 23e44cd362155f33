"""A background sender: sends a call's messages from an iterable while the caller receives."""

from collections.abc import AsyncGenerator, AsyncIterable, Iterable
from contextlib import AsyncExitStack
from typing import Generic, TypeAlias, TypeVar

import anyio
from grpclib.exceptions import StreamTerminatedError

from echo.rpc.client_stream import ClientStream
from echo.rpc.foreign_cancellation import is_foreign
from echo.wire import GRPCError, Status

SendT = TypeVar("SendT")
RecvT = TypeVar("RecvT")

Messages: TypeAlias = Iterable[SendT] | AsyncIterable[SendT]


class Sender(Generic[SendT, RecvT]):
    """Sends the messages of one call, then half-closes it.

    Args:
        stream: The call; its request must have been sent.
        messages: The messages to send. An async generator is closed at the end, even after an error.
    """

    def __init__(self, stream: ClientStream[SendT, RecvT], messages: Messages[SendT]) -> None:
        self._stream = stream
        self._messages = messages
        self._scope = anyio.CancelScope()
        self._ended = anyio.Event()
        self._failure: Exception | None = None

    async def run(self) -> None:
        """Send until the messages run out or the call ends. Raises only its own cancellation."""
        try:
            with self._scope:
                await self._send()
        except BaseException as error:
            if isinstance(error, Exception):
                self._failure = error
            elif is_foreign(error):
                self._failure = GRPCError(Status.CANCELLED, "the iterable of messages was cancelled")
            else:
                raise
            await self._stream.cancel()
        finally:
            self._ended.set()

    async def stop(self) -> None:
        """Stop sending, and wait until it has stopped."""
        self._scope.cancel()
        await self._ended.wait()

    def raise_failure(self) -> None:
        """Raise the error from producing or sending the messages, if any."""
        if self._failure is not None:
            raise self._failure from self._failure.__cause__

    async def _send(self) -> None:
        async with AsyncExitStack() as stack:
            messages = self._messages if isinstance(self._messages, AsyncIterable) else _as_async(self._messages)
            if isinstance(messages, AsyncGenerator):
                stack.push_async_callback(messages.aclose)
            async for message in messages:
                try:
                    await self._stream.send_message(message)
                except StreamTerminatedError:
                    return  # The server has ended the call with OK and needs no more messages.
                del message  # Otherwise an idle stream would keep its last one.
        await self._stream.end()


async def _as_async(messages: Iterable[SendT]) -> AsyncGenerator[SendT, None]:
    for message in messages:
        yield message
