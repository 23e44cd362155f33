"""WebSockets to gRPC streams: one nursery for each WebSocket ties two tasks together.

The *pump* takes responses from the gRPC stream and writes them to the socket; it is the only one to write. The *reader*
takes messages from the socket and sends them on the stream. Whichever ends or fails first decides how both end: the
nursery is cancelled, the block of the gRPC stream is left, and the socket is closed with what the outcome calls for.

Nothing is queued in between. A client that does not read stops the pump, which stops receiving from the stream, whose
flow-control window closes; a server that does not read stops the reader, whose socket is then not read.
"""

from dataclasses import dataclass
from typing import TypeAlias

import structlog
import trio

from echo.gateway.messages import INVALID_MESSAGE, Incoming, InvalidMessageError, decode, encode
from echo.gateway.metadata import CallContext
from echo.gateway.socket import Disconnected, Socket
from echo.gateway.status import FAILED, INVALID_DATA, NORMAL, close_reason
from echo.pb.com.gopay.echo.streaming import StreamMessage, StreamResponse
from echo.rpc import Cardinality, Channel, ClientStream, GRPCError, StreamTerminatedError

log = structlog.get_logger(__name__)

SERVICE = "/com.gopay.echo.streaming.StreamingServer"

EchoStream: TypeAlias = ClientStream[StreamMessage, StreamResponse]


@dataclass(frozen=True)
class Method:
    """A streaming method and what its relay does.

    Attributes:
        path: The gRPC method.
        cardinality: Which side sends more than one message.
        completes: A client that leaves ends its side of the stream, and the call goes on to its end on the server,
            instead of being cancelled.
    """

    path: str
    cardinality: Cardinality
    completes: bool = False


BIDIRECTIONAL = Method(f"{SERVICE}/BidirectionalStream", Cardinality.STREAM_STREAM)
SERVER = Method(f"{SERVICE}/ServerStream", Cardinality.UNARY_STREAM)
CLIENT = Method(f"{SERVICE}/ClientStream", Cardinality.STREAM_UNARY, completes=True)


async def relay(socket: Socket, channel: Channel, method: Method, context: CallContext, linger: float) -> None:
    """Relay an accepted socket to a call of ``method`` until either ends; closes the socket.

    Args:
        socket: Where the client is.
        channel: Where the server is.
        method: What to call.
        context: Metadata and deadline of the call.
        linger: Seconds that a call has to complete whose client has left.

    Cancelling it cancels the call, and leaves closing the socket to the caller.
    """
    first: Incoming | None = None
    if not method.cardinality.client_streaming:
        first = await _receive_only(socket)
        if first is None:
            return
    try:
        async with channel.request(
            method.path,
            method.cardinality,
            StreamMessage,
            StreamResponse,
            timeout=context.timeout,
            metadata=context.metadata,
        ) as stream:
            try:
                await stream.send_request()
            except GRPCError as error:
                log.warning("call cannot be opened", method=method.path, reason=error.message)
                await socket.close(FAILED, "gRPC connection failed")
                return
            await _Relay(socket, stream, method, linger).run(first)
    except GRPCError as error:
        await socket.close(FAILED, close_reason(error))
    else:
        await socket.close(NORMAL)


async def _receive_only(socket: Socket) -> Incoming | None:
    """The one message that a method takes; None if there was none, and the socket is closed."""
    data = await socket.receive()
    if isinstance(data, Disconnected):
        return None
    try:
        incoming = decode(data)
        if incoming.message is not None:
            return incoming
    except InvalidMessageError as error:
        log.debug("invalid message", reason=str(error))
    await socket.send(INVALID_MESSAGE)
    await socket.close(INVALID_DATA, "invalid message format")
    return None


class _Relay:
    """The state that pump and reader of one socket share."""

    def __init__(self, socket: Socket, stream: EchoStream, method: Method, linger: float) -> None:
        self._socket = socket
        self._stream = stream
        self._method = method
        self._linger = linger
        self._complaint = False  # The reader asks the pump to tell the client that its message was none.
        self._told = trio.Event()
        self._waiting: trio.CancelScope | None = None

    async def run(self, first: Incoming | None) -> None:
        """Relay until the call has ended or the client has left.

        Raises:
            GRPCError: The call failed.
        """
        if first is not None:
            assert first.message is not None
            await self._stream.send_message(first.message, end=True)
        failure: GRPCError | None = None
        ended = False
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._read, nursery.cancel_scope, first is not None)
            try:
                await self._pump()
                ended = True
            except GRPCError as error:
                failure = error  # Out of the nursery first: it would come out of it in a group.
            nursery.cancel_scope.cancel()
        if failure is not None:
            raise failure
        if not ended:
            await self._stream.cancel()

    async def _pump(self) -> None:
        """Write every response to the socket, and the reader's complaints in between."""
        stream, socket = self._stream, self._socket
        while True:
            response = None
            with trio.CancelScope() as self._waiting:
                if self._complaint:
                    self._waiting.cancel()
                response = await stream.recv_message()
            interrupted = self._waiting.cancelled_caught
            self._waiting = None
            if response is not None:
                await socket.send(encode(response))
            elif interrupted:
                self._complaint = False
                await socket.send(INVALID_MESSAGE)
                self._told.set()
            else:
                return

    async def _complain(self) -> None:
        """Have the pump tell the client that its message was none; returns when that is done."""
        self._told = trio.Event()
        self._complaint = True
        if self._waiting is not None:
            self._waiting.cancel()  # A receive that is cancelled takes nothing.
        await self._told.wait()

    async def _read(self, both: trio.CancelScope, half_closed: bool) -> None:
        """Send what the client sends, until it leaves."""
        while True:
            data = await self._socket.receive()
            if isinstance(data, Disconnected):
                break
            if half_closed and not self._method.cardinality.client_streaming:
                continue  # The one message was taken; what else comes is of no interest.
            try:
                incoming = decode(data)
            except InvalidMessageError as error:
                log.debug("invalid message", reason=str(error))
                await self._complain()
                continue
            if half_closed:
                if incoming.message is not None:
                    await self._complain()
                continue
            half_closed = incoming.half_close
            await self._pass_on(incoming)
        if self._method.completes:
            if not half_closed:
                await self._pass_on(Incoming(None, True))
            both.deadline = trio.current_time() + self._linger
        else:
            both.cancel()

    async def _pass_on(self, incoming: Incoming) -> None:
        try:
            if incoming.message is not None:
                await self._stream.send_message(incoming.message, end=incoming.half_close)
            else:
                await self._stream.end()
        except (GRPCError, StreamTerminatedError):
            # The call has ended, and the pump is about to hear how. What the client still sends is of no use to it.
            return
