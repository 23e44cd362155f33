"""The relay: one WebSocket tied to one gRPC call, for each of the three kinds of streams.

    socket --(reader)--> call --(receiver)--> outbox --(writer)--> socket
                |                               ^
                +---- "invalid message format" -+

Three tasks, one nursery. The *reader* takes messages from the socket to the call, and sees when the client leaves. The
*receiver* takes responses from the call, and learns how it ends: that decides how the socket is closed, after
everything that came before. The *writer*, the handler's own task, sends what is in the outbox. Each of them waits when
the next one does, so a client that does not read holds up the server's handler, and a server that does not read holds
up the client, at a bounded number of bytes in between.

One at a time writes to the socket. While the writer has nothing to do, whoever fills the outbox offers what is in it to
the kernel, in that very moment; the writer is only woken for what the kernel does not take.
"""

import logging
import math
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Final, TypeAlias

import trio

from echo.gateway.messages import INVALID_MESSAGE, InvalidMessageError, decode_message, encode_response
from echo.gateway.status import BAD_MESSAGE, CALL_OK, MESSAGE_TOO_BIG, UNREACHABLE, Close, close_of_failed_call
from echo.gateway.websocket import End, Socket
from echo.pb.com.gopay.echo.streaming import StreamMessage, StreamResponse
from echo.printable import printable
from echo.rpc import Cardinality, ClientStream, GRPCError, Status, StreamTerminatedError

log = logging.getLogger(__name__)

Call: TypeAlias = ClientStream[StreamMessage, StreamResponse]

NO_RESPONSE: Final = "no response began within {:g} s; does a proxy on the path hold requests back until they end?"

OUTBOX_SIZE: Final = 64 * 1024  # Characters that may wait for the writer; one message more for each who puts.


@dataclass(frozen=True, slots=True)
class Kind:
    """One of the streams.

    Attributes:
        path: The gRPC method.
        cardinality: Its call type.
        outlives_client: A client that leaves only half-closes the call.
    """

    path: str
    cardinality: Cardinality
    outlives_client: bool = False


_SERVICE: Final = "/com.gopay.echo.streaming.StreamingServer"
BIDIRECTIONAL: Final = Kind(f"{_SERVICE}/BidirectionalStream", Cardinality.STREAM_STREAM)
SERVER_STREAM: Final = Kind(f"{_SERVICE}/ServerStream", Cardinality.UNARY_STREAM)
CLIENT_STREAM: Final = Kind(f"{_SERVICE}/ClientStream", Cardinality.STREAM_UNARY, outlives_client=True)


class Outbox:
    """Texts on their way to a socket: bounded, in order, sent by one task at a time.

    Who puts texts offers them to the kernel at once if nothing else is on its way, which saves waking the writer. What
    the kernel does not take, or not yet, is for the writer.
    """

    def __init__(self, socket: Socket) -> None:
        self._socket = socket
        self._texts: list[str] = []
        self._size = 0
        self._closed = False
        self._idle = False  # The writer waits.
        self._putting = trio.lowlevel.ParkingLot()
        self._taking = trio.lowlevel.ParkingLot()

    async def put(self, texts: list[str]) -> None:
        """Add texts; waits while there is no room."""
        while self._size >= OUTBOX_SIZE:
            await self._putting.park()
        if self._idle and not self._texts and self._socket.send_now(texts):
            if not self._socket.pending:
                return
        else:
            self._texts += texts
            self._size += sum(map(len, texts))
        self._idle = False
        self._taking.unpark()

    async def send(self) -> bool:
        """Send what there is, for the writer; waits for something, and tells whether there may be more."""
        while not self._texts and not self._socket.pending:
            if self._closed:
                return False
            self._idle = True
            await self._taking.park()
            self._idle = False
        texts, self._texts, self._size = self._texts, [], 0
        self._putting.unpark_all()
        await self._socket.send(texts)
        return True

    def close(self) -> None:
        """Nothing more will be put."""
        self._closed = True
        self._taking.unpark()


async def relay(
    socket: Socket, kind: Kind, open_call: Callable[[], AbstractAsyncContextManager[Call]], patience: float
) -> Close:
    """Relay between a socket and a call until either ends; the socket is then to be closed as is returned.

    Args:
        socket: Accepted.
        kind: Which stream it is.
        open_call: Prepares the call, for the length of a block.
        patience: Seconds that the server may take to begin its response, once it has been sent what it answers; and
            that a call may go on whose client has left, if it outlives its client.

    Cancelling it cancels the call at once. Never raises what a client, or a server, can bring about.
    """
    first: StreamMessage | None = None
    if not kind.cardinality.client_streaming:
        found = await _only_message(socket)
        if isinstance(found, Close):
            return found
        first = found
    try:
        async with open_call() as call:
            return await _Relay(socket, kind, call, patience).run(first)
    except GRPCError as error:  # The call failed as it was being left.
        return close_of_failed_call(error.status, error.message)


async def _only_message(socket: Socket) -> StreamMessage | Close:
    """The message that a call with a single one begins with."""
    data = await socket.receive()
    if isinstance(data, End):
        return CALL_OK if data is End.GONE else MESSAGE_TOO_BIG
    try:
        message = decode_message(data).message
    except InvalidMessageError:
        message = None
    if message is None:  # Also for a half-close: there is nothing to call the server with.
        await socket.send([INVALID_MESSAGE])
        return BAD_MESSAGE
    return message


class _Relay:
    """The state that the three tasks share."""

    def __init__(self, socket: Socket, kind: Kind, call: Call, patience: float) -> None:
        self._socket = socket
        self._kind = kind
        self._call = call
        self._patience = patience
        self._outbox = Outbox(socket)
        self._beginning = trio.CancelScope()  # The wait for the response to begin.
        self._end: Close | None = None  # How the socket is to be closed; the first word counts.
        self._half_closed = False  # We have sent all that there will be,
        self._over = False  # or the call takes no more.

    async def run(self, first: StreamMessage | None) -> Close:
        call = self._call
        try:
            await call.send_request()
        except GRPCError as error:
            if error.status is Status.UNAVAILABLE:
                log.warning("the call can't be opened: %s", printable(error.message or ""))
                return UNREACHABLE
            return close_of_failed_call(error.status, error.message)
        async with trio.open_nursery() as tasks:
            tasks.start_soon(self._read, first, tasks.cancel_scope)
            tasks.start_soon(self._receive)
            while await self._outbox.send():
                pass
            tasks.cancel_scope.cancel()
        if call.trailing_metadata is None:
            # Left before its end. To leave the block without an exception would wait for the end of some calls.
            await call.cancel()
        return self._end or CALL_OK

    async def _read(self, first: StreamMessage | None, scope: trio.CancelScope) -> None:
        """From the socket to the call; then only watches the client, whose leaving ends it all."""
        if first is not None:
            await self._pass_on(first, half_close=True)
        while True:
            data = await self._socket.receive()
            if isinstance(data, End):
                break
            if self._over or first is not None:
                continue  # There is nothing that the call would do with it.
            try:
                incoming = decode_message(data)
            except InvalidMessageError:
                await self._outbox.put([INVALID_MESSAGE])
                continue
            if not self._half_closed:
                await self._pass_on(incoming.message, incoming.half_close)
            elif incoming.message is not None:
                await self._outbox.put([INVALID_MESSAGE])  # A message after the last one is none.
        if data is End.TOO_BIG:
            self._end = self._end or MESSAGE_TOO_BIG
        elif self._kind.outlives_client:
            if not self._half_closed:
                await self._pass_on(None, half_close=True)
            scope.deadline = trio.current_time() + self._patience
            return
        # The call goes first: the writer may be stuck in a send to a client that takes nothing.
        await self._call.cancel()
        scope.cancel()

    async def _pass_on(self, message: StreamMessage | None, half_close: bool) -> None:
        self._half_closed = half_close
        if half_close and self._socket.trace is not None:
            self._socket.trace.happened("half-close")
        try:
            if message is not None:
                await self._call.send_message(message, end=half_close)
            elif half_close:
                await self._call.end()
            if self._beginning.deadline == math.inf and (half_close or self._kind.cardinality.server_streaming):
                self._beginning.deadline = trio.current_time() + self._patience
        except (GRPCError, StreamTerminatedError):
            # How it ended, the receiver is to say, after the responses that came before.
            self._over = True

    async def _receive(self) -> None:
        """From the call to the outbox; its end decides how the socket is closed."""
        call, put = self._call, self._outbox.put
        try:
            with self._beginning:
                await call.recv_initial_metadata()
            if self._beginning.cancelled_caught:
                raise GRPCError(Status.DEADLINE_EXCEEDED, NO_RESPONSE.format(self._patience))
            if self._kind.cardinality.server_streaming:
                while responses := await call.recv_messages():
                    await put([encode_response(response) for response in responses])
            else:
                only = await call.recv_message()
                assert only is not None
                await put([encode_response(only)])
        except GRPCError as error:
            self._end = self._end or close_of_failed_call(error.status, error.message)
            if self._socket.closed:
                text = printable(error.message or "")
                log.info("client disconnected; its call ended with %s: %s", error.status.name, text)
        self._outbox.close()
