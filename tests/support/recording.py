"""A service that does what its caller's metadata asks for, and records what its handlers see.

``/test.Recorder/...`` has a method of each call type, with the messages of the streaming echo. The stock grpcio server
of `tests.support.grpcio` obeys the same metadata, so that one list of expectations serves both directions.
"""

import math
from collections.abc import Mapping
from functools import partial
from typing import Final, TypeAlias

import trio
from grpclib.const import Cardinality, Handler

from echo.pb.com.gopay.echo.streaming import StreamMessage, StreamResponse
from echo.rpc import GRPCError, ServerStream, Status
from echo.wire.metadata import Metadata

# Keys of the metadata that a caller sends.
INITIAL: Final = "initial-"  # Keys with this prefix are returned as initial metadata,
TRAILING: Final = "trailing-"  # keys with this one as trailers.
STATUS: Final = "want-status"  # The status code to end with,
STATUS_MESSAGE: Final = "want-status-message-bin"  # its message in UTF-8,
STATUS_DETAILS: Final = "want-status-details-bin"  # and its details.
REPLIES: Final = "want-replies"  # The number of messages in a server stream.
WAIT: Final = "want-wait"  # Where to wait forever, one of the following:
RECEIVING: Final = "receiving"  # for a message that never arrives.
SENDING: Final = "sending"  # for a client that does not read.
SLEEPING: Final = "sleeping"
CRASH: Final = "want-crash"  # Wait in a nursery, where another task fails on command, with the status of that name or
BUG: Final = "bug"  # with an error that is not a status.

TOO_MUCH: Final = "x" * 1_000_000  # More than any of our windows: sending it needs a client that reads.

DEADLINE: Final = 2.0  # Seconds for calls whose handlers must see the deadline pass; a handler may start late.

PATHS: Final = {
    Cardinality.UNARY_UNARY: "/test.Recorder/Unary",
    Cardinality.STREAM_UNARY: "/test.Recorder/ClientStream",
    Cardinality.UNARY_STREAM: "/test.Recorder/ServerStream",
    Cardinality.STREAM_STREAM: "/test.Recorder/Bidi",
}

Stream: TypeAlias = ServerStream[StreamMessage, StreamResponse]


class Seen:
    """What a handler saw.

    Attributes:
        metadata: What came with the call.
        time_remaining: Seconds until the deadline, as the handler found it at its start; infinity for none.
        received: How many messages have come.
        waiting: The handler is about to wait where it was asked to.
        cancelled: The handler was cancelled.
        ended: The handler has returned, raised or been cancelled.
        error: What it raised.
        crash: Set it to have the handler fail, if it was asked to.
    """

    def __init__(self, metadata: Metadata, time_remaining: float) -> None:
        self.metadata = metadata
        self.time_remaining = time_remaining
        self.received = 0
        self.waiting = trio.Event()
        self.cancelled = trio.Event()
        self.ended = trio.Event()
        self.error: BaseException | None = None
        self.crash = trio.Event()

    async def is_cancelled_in(self, seconds: float) -> None:
        """Check that its deadline is at most this far away, and that it is cancelled then."""
        assert 0 < self.time_remaining <= seconds + 0.1  # Some clients round up.
        with trio.fail_after(20):
            await self.ended.wait()
        assert self.cancelled.is_set(), f"the handler was not cancelled, but ended by {self.error!r}"


class Calls:
    """The calls that arrived, in order."""

    def __init__(self) -> None:
        self._arrived, self._next = trio.open_memory_channel[Seen](10_000)

    def add(self, seen: Seen) -> None:
        self._arrived.send_nowait(seen)

    async def next(self) -> Seen:
        """The next call, once its handler has started."""
        with trio.fail_after(30):
            return await self._next.receive()


class Recorder:
    """The service.

    Attributes:
        calls: What its handlers saw.
        gate: What handlers of unary calls wait for before they reply; open unless closed by a test.
    """

    def __init__(self) -> None:
        self.calls = Calls()
        self.gate = trio.Event()
        self.gate.set()

    def __mapping__(self) -> Mapping[str, Handler]:
        return {
            path: Handler(partial(self._serve, kind), kind, StreamMessage, StreamResponse)
            for kind, path in PATHS.items()
        }

    async def _serve(self, kind: Cardinality, stream: Stream) -> None:
        metadata = stream.metadata
        assert metadata is not None
        seen = Seen(metadata, math.inf if stream.deadline is None else stream.deadline.time_remaining())
        self.calls.add(seen)
        try:
            if WAIT in metadata:
                await _wait_in(str(metadata[WAIT]), kind, stream, seen)
            else:
                await self._answer(kind, metadata, stream, seen)
        except trio.Cancelled:
            seen.cancelled.set()
            raise
        except BaseException as error:
            seen.error = error
            raise
        finally:
            seen.ended.set()

    async def _answer(self, kind: Cardinality, metadata: Metadata, stream: Stream, seen: Seen) -> None:
        if initial := matching(metadata, INITIAL):
            await stream.send_initial_metadata(metadata=initial)
        message = StreamMessage()
        async for message in stream:
            seen.received += 1
            in_order(message.sequence_number, seen.received)
            if kind is Cardinality.STREAM_STREAM:
                await stream.send_message(reply_to(message, seen.received))
        if kind is Cardinality.UNARY_UNARY:
            await self.gate.wait()
        if kind is Cardinality.UNARY_STREAM:
            for number in range(1, int(str(metadata.get(REPLIES, "3"))) + 1):
                await stream.send_message(reply_to(message, number))
        elif not kind.server_streaming and STATUS not in metadata:
            await stream.send_message(reply_to(message, seen.received))
        await _finish(metadata, stream)


async def _finish(metadata: Metadata, stream: Stream) -> None:
    trailing = matching(metadata, TRAILING)
    if STATUS in metadata or trailing:
        message = metadata.get(STATUS_MESSAGE)
        await stream.send_trailing_metadata(
            status=Status(int(str(metadata.get(STATUS, "0")))),
            status_message=message.decode() if isinstance(message, bytes) else None,
            status_details=metadata.get(STATUS_DETAILS),
            metadata=trailing,
        )


def reply_to(message: StreamMessage, number: int) -> StreamResponse:
    """A reply with the message's text and this number."""
    return StreamResponse(stream_id=message.stream_id, sequence_number=number, response=message.message, success=True)


def in_order(carried: int, number: int) -> None:
    """Fail the call if a numbered message arrived out of order."""
    if carried not in (0, number):
        raise GRPCError(Status.DATA_LOSS, f"message {carried} came as number {number}")


def matching(metadata: Metadata, prefix: str) -> list[tuple[str, str | bytes]]:
    """The metadata whose keys have this prefix, in order."""
    return [(key, value) for key, value in metadata.items() if key.startswith(prefix)]


async def _wait_in(where: str, kind: Cardinality, stream: Stream, seen: Seen) -> None:
    assert stream.metadata is not None
    how = stream.metadata.get(CRASH)
    if how is None:
        await _wait(where, kind, stream, seen)
        return
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_crash, str(how), seen)
        try:
            await _wait(where, kind, stream, seen)
        except trio.Cancelled:
            seen.cancelled.set()  # By the failure of the other task. The nursery absorbs this.
            raise


async def _crash(how: str, seen: Seen) -> None:
    await seen.crash.wait()
    if how == BUG:
        raise LookupError("a bug of the handler's")
    raise GRPCError(Status[how], "the handler said so")


async def _wait(where: str, kind: Cardinality, stream: Stream, seen: Seen) -> None:
    if where != RECEIVING or kind.client_streaming:
        await stream.recv_message()
    if where == SENDING:
        await stream.send_message(StreamResponse(response=TOO_MUCH))
    seen.waiting.set()
    if where == RECEIVING:
        await stream.recv_message()
    elif where == SENDING and kind.server_streaming:
        while True:
            await stream.send_message(StreamResponse(response=TOO_MUCH))
    elif where == SENDING:
        await stream.send_trailing_metadata()
    else:
        await trio.sleep_forever()
    raise AssertionError("the wait was to last forever")
