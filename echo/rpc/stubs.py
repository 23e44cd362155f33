"""betterproto's stubs with streaming methods that work: `bind`.

A stub just made, ``ServerStub(channel)``, is right for unary calls. Its streaming methods are not. One that streams
both ways hands its messages to an asyncio task that nobody owns, and on trio sends nothing, without a word. One that
sends a stream hears of no answer before it has sent everything. And one that is left early leaves its call to the
garbage collector, even where ``aclosing`` was meant to end it.

What mends them is an owner. Messages go out while replies come in, so there is a task, and a task needs a nursery. The
method cannot have it: it is an async generator, which must not keep a nursery open across its ``yield``. The channel
could, but lives much longer than an iterator that was forgotten should. So a block of the caller's has it::

    async with bind(StreamingServerStub, channel) as stub:
        async for reply in stub.bidirectional_stream(messages()):
            ...

Where what is sent depends on what was received, ``async with channel.request(...) as stream`` is the simpler tool.
"""

import inspect
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from copy import copy
from functools import lru_cache, wraps
from typing import Any, Generic, TypedDict, TypeVar, Unpack, cast

import anyio
from anyio.abc import TaskGroup
from grpclib.const import Cardinality
from grpclib.exceptions import ProtocolError
from grpclib.metadata import Deadline

from echo.rpc.channel import Channel
from echo.rpc.client_stream import ClientStream
from echo.rpc.sender import Messages, Sender
from echo.transport import open_background
from echo.wire import GRPCError, MetadataLike

StubT = TypeVar("StubT")
SendT = TypeVar("SendT")
RecvT = TypeVar("RecvT")


@asynccontextmanager
async def bind(
    stub_type: type[StubT],
    channel: Channel,
    *,
    timeout: float | None = None,
    deadline: Deadline | None = None,
    metadata: MetadataLike | None = None,
) -> AsyncIterator[StubT]:
    """A stub whose streaming calls last no longer than the block.

    Args:
        stub_type: A class that betterproto generated. What is given is an instance of a subclass.
        channel: What to call by.
        timeout: Seconds that a call may take which is not given a ``timeout`` of its own.
        deadline: The point in time by which a call must be over, likewise.
        metadata: What to send along with a call, likewise.

    Its methods are called as they were generated, and raise what `ClientStream` raises. Besides:

    - A task of the block sends the messages. What making them raises cancels the call, and is raised where its replies
      are awaited. It ends with the call, whichever way that ends; so does an async generator that makes the messages,
      which it closes. (A method that is cancelled does not wait for that; the block does.)
    - A stream that is left early, by ``break``, goes on until its iterator is closed, or the block is left. Close it
      by ``contextlib.aclosing``, or give it a block of its own.
    - Leaving the block, also by an exception or cancelled, resets the calls that are open, with RST_STREAM CANCEL.
      Streaming methods raise `ProtocolError` from then on.

    An exception of the block comes out as it is, in no group.
    """
    async with open_background() as tasks:
        calls = _Calls(tasks)
        stub = _bound(cast("type", stub_type))(channel, timeout=timeout, deadline=deadline, metadata=metadata)
        stub._calls = calls
        try:
            yield stub
        finally:
            await calls.close()
            tasks.cancel_scope.cancel()


class _Calls:
    """The streaming calls of one block."""

    def __init__(self, tasks: TaskGroup) -> None:
        self._tasks = tasks
        self._open: set[ClientStream[Any, Any]] = set()
        self._closed = False

    @asynccontextmanager
    async def open(
        self, request: ClientStream[SendT, RecvT], messages: Messages[SendT]
    ) -> AsyncIterator[ClientStream[SendT, RecvT]]:
        """Make a call whose messages are sent by themselves; to receive is what the block is for."""
        sender = Sender(request, messages)
        try:
            async with request as stream:
                await stream.send_request()
                if self._closed:
                    raise ProtocolError("the block that the stub was bound for is over")
                self._tasks.start_soon(sender.run)
                self._open.add(stream)
                try:
                    yield stream
                finally:
                    self._open.discard(stream)
                    await sender.stop()
        except GRPCError:
            sender.raise_failure()  # The reason why the call was cancelled.
            raise
        sender.raise_failure()

    async def close(self) -> None:
        """Reset the calls that are open: who waits for their replies is told CANCELLED. Nor can any be made."""
        self._closed = True
        with anyio.CancelScope(shield=True):  # Resetting a call waits for nothing but the next turn of this task.
            for stream in tuple(self._open):
                await stream.cancel()


class _Replies(AsyncIterator[RecvT], Generic[RecvT]):
    """The replies to one call, which is made when the first is asked for and ends with its owner's stack."""

    def __init__(self, owner: AsyncExitStack, opening: AbstractAsyncContextManager[AsyncIterator[RecvT]]) -> None:
        self._owner = owner
        self._opening = opening
        self._stream: AsyncIterator[RecvT] | None = None

    async def __anext__(self) -> RecvT:
        if self._stream is None:
            self._stream = await self._owner.enter_async_context(self._opening)
        return await anext(self._stream)


class _Options(TypedDict, total=False):
    """What every method of a stub takes besides messages."""

    timeout: float | None
    deadline: Deadline | None
    metadata: MetadataLike | None


class _Bound:
    """Stands before a generated class, to do what its methods ask of the class that betterproto gave it."""

    # What betterproto's __init__ sets,
    channel: Channel
    timeout: float | None
    deadline: Deadline | None
    metadata: MetadataLike | None
    # what `bind` sets,
    _calls: _Calls
    # and what `_closing` does, in a copy for each call.
    _owner: AsyncExitStack

    async def _stream_unary(
        self,
        route: str,
        messages: Messages[SendT],
        request_type: type[SendT],
        reply_type: type[RecvT],
        **options: Unpack[_Options],
    ) -> RecvT:
        request = self._request(Cardinality.STREAM_UNARY, route, request_type, reply_type, options)
        async with self._calls.open(request, messages) as stream:
            reply = await stream.recv_message()
        assert reply is not None
        return reply

    def _unary_stream(
        self, route: str, message: SendT, reply_type: type[RecvT], **options: Unpack[_Options]
    ) -> AsyncIterator[RecvT]:
        request = self._request(Cardinality.UNARY_STREAM, route, type(message), reply_type, options)
        return _Replies(self._owner, self._calls.open(request, [message]))

    def _stream_stream(
        self,
        route: str,
        messages: Messages[SendT],
        request_type: type[SendT],
        reply_type: type[RecvT],
        **options: Unpack[_Options],
    ) -> AsyncIterator[RecvT]:
        request = self._request(Cardinality.STREAM_STREAM, route, request_type, reply_type, options)
        return _Replies(self._owner, self._calls.open(request, messages))

    def _request(
        self, kind: Cardinality, route: str, request_type: type[SendT], reply_type: type[RecvT], options: _Options
    ) -> ClientStream[SendT, RecvT]:
        return self.channel.request(
            route,
            kind,
            request_type,
            reply_type,
            timeout=self.timeout if options.get("timeout") is None else options["timeout"],
            deadline=self.deadline if options.get("deadline") is None else options["deadline"],
            metadata=self.metadata if options.get("metadata") is None else options["metadata"],
        )


@lru_cache
def _bound(stub_type: type) -> type:
    """The class of bound stubs, made once for each class of stubs that is in use."""
    streaming = inspect.getmembers(stub_type, inspect.isasyncgenfunction)
    methods = {name: _closing(method) for name, method in streaming if not name.startswith("_")}
    return type(stub_type.__name__, (_Bound, stub_type), methods)


def _closing(generated: Callable[..., AsyncGenerator[RecvT, None]]) -> Callable[..., AsyncGenerator[RecvT, None]]:
    """A method that ends the call made by a generated one when it is closed itself.

    The generated one is a generator around another one, which it forgets when it is closed, with the call inside.
    """

    @wraps(generated)
    async def method(self: _Bound, *args: object, **kwargs: object) -> AsyncGenerator[RecvT, None]:
        async with AsyncExitStack() as owner:
            one_call = copy(self)
            one_call._owner = owner
            replies = generated(one_call, *args, **kwargs)
            owner.push_async_callback(replies.aclose)
            async for reply in replies:
                yield reply

    return method
