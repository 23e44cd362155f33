"""The relay: ties one WebSocket to one gRPC call, for each of the three kinds of streams.

    socket --(reader)--> call --(receiver)--> outbox --(writer)--> socket
                |                               ^
                +---- "invalid message format" -+

Three tasks share a nursery. The *reader* passes messages from the socket to the call, and notices when the client
leaves. The *receiver* takes responses from the call and learns how the call ends, which decides how the socket is
closed after the last response. The *writer*, the handler's own task, sends the contents of the outbox. Each waits when
the next one does: a client that does not read holds up the server's handler, and a server that does not read holds up
the client, with a bounded number of bytes in between.

Only one task at a time writes to the socket. While the writer is idle, a task that fills the outbox offers its contents
to the kernel at once; the writer is only woken for the rest.
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
from echo.gateway.websocket import NoMessage, Socket
from echo.pb.com.gopay.echo.streaming import StreamMessage, StreamResponse
from echo.printable import printable
from echo.rpc import Cardinality, ClientStream, GRPCError, Status, StreamTerminatedError

log = logging.getLogger(__name__)

Call: TypeAlias = ClientStream[StreamMessage, StreamResponse]

NO_RESPONSE: Final = "no response began within {:g} s; does a proxy on the path hold requests back until they end?"

OUTBOX_SIZE: Final = 64 * 1024  # Characters in the outbox from which `put` waits; each task may exceed it once.


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of stream.

    Attributes:
        path: The gRPC method.
        cardinality: Its call type.
        outlives_client: Whether a client that leaves only half-closes the call.
    """

    path: str
    cardinality: Cardinality
    outlives_client: bool = False


_SERVICE: Final = "/com.gopay.echo.streaming.StreamingServer"
BIDIRECTIONAL: Final = Kind(f"{_SERVICE}/BidirectionalStream", Cardinality.STREAM_STREAM)
SERVER_STREAM: Final = Kind(f"{_SERVICE}/ServerStream", Cardinality.UNARY_STREAM)
CLIENT_STREAM: Final = Kind(f"{_SERVICE}/ClientStream", Cardinality.STREAM_UNARY, outlives_client=True)


class Outbox:
    """Text messages on their way to a socket: bounded, in order, sent by one task at a time.

    If nothing else is being sent, `put` offers the texts to the kernel at once, which saves waking the writer. The
    writer sends what the kernel has not taken.
    """

    def __init__(self, socket: Socket) -> None:
        self._socket = socket
        self._texts: list[str] = []
        self._size = 0
        self._closed = False
        self._idle = False  # The writer waits.
        self._putting: trio.lowlevel.ParkingLot | None = None  # Created when first needed; it takes 250 bytes.
        self._taking = trio.lowlevel.ParkingLot()

    async def put(self, texts: list[str]) -> None:
        """Add texts; waits while the outbox is full."""
        while self._size >= OUTBOX_SIZE:
            if self._putting is None:
                self._putting = trio.lowlevel.ParkingLot()
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
        """Wait for texts and send them; for the writer. Returns False once the outbox is closed and empty."""
        while not self._texts and not self._socket.pending:
            if self._closed:
                return False
            self._idle = True
            await self._taking.park()
            self._idle = False
        texts, self._texts, self._size = self._texts, [], 0
        if self._putting is not None:
            self._putting.unpark_all()
        await self._socket.send(texts)
        return True

    def close(self) -> None:
        """Let `send` return False once everything is sent; nothing more will be put."""
        self._closed = True
        self._taking.unpark()


async def relay(
    socket: Socket, kind: Kind, open_call: Callable[[], AbstractAsyncContextManager[Call]], timeout: float
) -> Close:
    """Relay between a socket and a call until either ends; returns how to close the socket.

    Args:
        socket: The accepted WebSocket.
        kind: The kind of stream.
        open_call: Prepares the call for the duration of a block.
        timeout: Seconds that the server may take to begin its response, once it has the messages that it responds to;
            and seconds that a call may continue after its client has left, if it outlives its client.

    Cancelling it cancels the call at once. It raises nothing that a client or a server can cause.
    """
    first: StreamMessage | None = None
    if not kind.cardinality.client_streaming:
        found = await _receive_only_message(socket)
        if isinstance(found, Close):
            return found
        first = found
    try:
        async with open_call() as call:
            return await _Relay(socket, kind, call, timeout).run(first)
    except GRPCError as error:  # The call failed while its block was being left.
        return close_of_failed_call(error.status, error.message)


async def _receive_only_message(socket: Socket) -> StreamMessage | Close:
    """Receive the request of a call that takes a single message; returns how to close if none comes."""
    data = await socket.receive()
    if isinstance(data, NoMessage):
        return CALL_OK if data is NoMessage.DISCONNECTED else MESSAGE_TOO_BIG
    try:
        message = decode_message(data).message
    except InvalidMessageError:
        message = None
    if message is None:  # Also for a half-close, since there is no message to send to the server.
        await socket.send([INVALID_MESSAGE])
        return BAD_MESSAGE
    return message


class _Relay:
    """The state that the three tasks share."""

    def __init__(self, socket: Socket, kind: Kind, call: Call, timeout: float) -> None:
        self._socket = socket
        self._kind = kind
        self._call = call
        self._timeout = timeout
        self._outbox = Outbox(socket)
        self._head_wait = trio.CancelScope()  # Around the wait for the response's head.
        self._close: Close | None = None  # How to close the socket; set only once.
        self._half_closed = False  # The call is half-closed.
        self._call_ended = False  # The call accepts no more messages.

    async def run(self, first: StreamMessage | None) -> Close:
        call = self._call
        try:
            await call.send_request()
        except GRPCError as error:
            if error.status is Status.UNAVAILABLE:
                log.warning("the call could not be opened: %s", printable(error.message or ""))
                return UNREACHABLE
            return close_of_failed_call(error.status, error.message)
        async with trio.open_nursery() as tasks:
            tasks.start_soon(self._read, first, tasks.cancel_scope)
            tasks.start_soon(self._receive)
            while await self._outbox.send():
                pass
            tasks.cancel_scope.cancel()
        if call.trailing_metadata is None:
            # The call has not ended. Leaving the block without cancelling it would wait for the end of some calls.
            await call.cancel()
        return self._close or CALL_OK

    async def _read(self, first: StreamMessage | None, scope: trio.CancelScope) -> None:
        """Relay from the socket to the call, until the client leaves, which ends everything."""
        if first is not None:
            await self._forward(first, half_close=True)
        while True:
            data = await self._socket.receive()
            if isinstance(data, NoMessage):
                break
            if not self._call_ended and first is None:
                await self._relay(data)
            del data  # Otherwise an idle socket would keep its last message.
        if data is NoMessage.TOO_BIG:
            self._close = self._close or MESSAGE_TOO_BIG
        elif self._kind.outlives_client:
            if not self._half_closed:
                await self._forward(None, half_close=True)
            scope.deadline = trio.current_time() + self._timeout
            return
        # The call is cancelled first, since the writer may be stuck sending to a client that does not read.
        await self._call.cancel()
        scope.cancel()

    async def _relay(self, data: str | bytes) -> None:
        """Relay one message to the call; does nothing if the call has ended."""
        try:
            incoming = decode_message(data)
        except InvalidMessageError:
            await self._outbox.put([INVALID_MESSAGE])
            return
        if not self._half_closed:
            await self._forward(incoming.message, incoming.half_close)
        elif incoming.message is not None:
            await self._outbox.put([INVALID_MESSAGE])  # A message after the half-close is invalid.

    async def _forward(self, message: StreamMessage | None, half_close: bool) -> None:
        """Send a message, a half-close or both to the call; does nothing if the call has ended."""
        self._half_closed = half_close
        if half_close and self._socket.trace is not None:
            self._socket.trace.happened("half-close")
        try:
            if message is not None:
                await self._call.send_message(message, end=half_close)
            elif half_close:
                await self._call.end()
            if self._head_wait.deadline == math.inf and (half_close or self._kind.cardinality.server_streaming):
                self._head_wait.deadline = trio.current_time() + self._timeout
        except (GRPCError, StreamTerminatedError):
            # The receiver reports how it ended, after the responses that came before.
            self._call_ended = True

    async def _receive(self) -> None:
        """Relay from the call to the outbox; the call's end decides how the socket is closed."""
        call, put = self._call, self._outbox.put
        try:
            with self._head_wait:
                await call.recv_initial_metadata()
            if self._head_wait.cancelled_caught:
                raise GRPCError(Status.DEADLINE_EXCEEDED, NO_RESPONSE.format(self._timeout))
            if self._kind.cardinality.server_streaming:
                while responses := await call.recv_messages():
                    await put([encode_response(response) for response in responses])
                    del responses  # Otherwise an idle socket would keep its last ones.
            else:
                only = await call.recv_message()
                assert only is not None
                await put([encode_response(only)])
        except GRPCError as error:
            self._close = self._close or close_of_failed_call(error.status, error.message)
            if self._socket.closed:
                text = printable(error.message or "")
                log.info("client disconnected; call ended with %s: %s", error.status.name, text)
        self._outbox.close()
