"""A call whose messages are framed in the request's and the response's body: gRPC-Web, and Connect's streams.

    request --(upload)--> call --(download)--> response

Two tasks share a nursery, and the first to know how the call ends stops both. That is the *upload* if the client sends
an invalid message or disconnects, and the *download* if the call ends. Each waits while its receiver is not reading, so
at most one message and one piece of the body are held.
"""

from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Protocol

import trio

from echo.gateway.rpc_over_http.call import Call, Payload, Stream
from echo.gateway.rpc_over_http.codec import Codec
from echo.gateway.rpc_over_http.exchange import ClientGoneError, Exchange, HTTPHeaders
from echo.gateway.rpc_over_http.metadata import pairs_of
from echo.gateway.rpc_over_http.outcome import GOING_AWAY, Outcome, Pairs, outcome_of
from echo.gateway.runtime import Runtime
from echo.rpc import Cardinality, GRPCError, StreamTerminatedError
from echo.wire import MessageDecoder, encode_compressed


class StreamFormat(Protocol):
    """A protocol's format for a stream.

    Attributes:
        request_encoding: The encoding of the client's messages.
        response_encoding: The encoding of ours.
    """

    request_encoding: str
    response_encoding: str

    def unwrap(self, piece: bytes) -> bytes:
        """Extract the frames from a piece of the request's body. Raises GRPCError."""

    def close(self) -> None:
        """Note the end of the request's body. Raises GRPCError if it is incomplete."""

    def wrap(self, frames: bytes) -> bytes:
        """Encode frames as a piece of the response's body."""

    def head(self, initial: Pairs) -> HTTPHeaders:
        """The headers of a response with messages."""

    def end_frame(self, outcome: Outcome) -> bytes:
        """The last frame of a response with messages."""

    def without_messages(self, outcome: Outcome) -> tuple[HTTPHeaders, bytes]:
        """Headers and frames of a response that only says how the call ended."""


async def serve_stream(runtime: Runtime, exchange: Exchange, form: StreamFormat, call: Call) -> None:
    """Make the call and answer the request."""
    outcome: Outcome | None = GOING_AWAY  # Kept if the drain cancels the call.
    # A call abandoned before its end may fail as well; the reason for abandoning it counts.
    with runtime.drain.work(), suppress(GRPCError):
        async with call.open(runtime, Cardinality.STREAM_STREAM) as stream:
            decoder = MessageDecoder(runtime.settings.grpc_max_message_size, form.request_encoding)
            outcome = await _Relay(exchange, form, call.codec, decoder, stream).run()
    if outcome is not None:
        await send_outcome(exchange, form, outcome)


async def send_outcome(exchange: Exchange, form: StreamFormat, outcome: Outcome) -> None:
    """Send how the call ended, and end the response."""
    if exchange.response_started:
        await exchange.end(form.wrap(form.end_frame(outcome)))
    else:
        headers, frames = form.without_messages(outcome)
        await exchange.answer(200, headers, form.wrap(frames))


class _Relay:
    """The two directions of one call."""

    def __init__(
        self, exchange: Exchange, form: StreamFormat, codec: Codec, decoder: MessageDecoder, stream: Stream
    ) -> None:
        self._exchange = exchange
        self._form = form
        self._codec = codec
        self._decoder = decoder
        self._stream = stream
        self._open = trio.Event()

    async def run(self) -> Outcome | None:
        """Relay until the call ends. Returns how it ended, or None if the client has disconnected."""
        outcome: Outcome | None = None
        async with trio.open_nursery() as tasks:

            async def run(direction: Callable[[], Awaitable[Outcome | None]]) -> None:
                nonlocal outcome
                outcome = await direction()
                tasks.cancel_scope.cancel()

            tasks.start_soon(run, self._upload)
            tasks.start_soon(run, self._download)
        return outcome

    async def _upload(self) -> Outcome | None:
        """Relay the request to the call, until the request turns out invalid or the client disconnects."""
        try:
            while (piece := await self._exchange.receive()) is not None:
                self._decoder.feed(self._form.unwrap(piece))
                await self._send_messages()
                del piece  # Otherwise an idle stream would keep its last one.
            self._form.close()
            self._decoder.close()
            await self._send_messages()
        except ClientGoneError:
            return None
        except GRPCError as error:
            return outcome_of(error)
        except StreamTerminatedError:
            pass  # The call accepts no more messages. The download reports how it ended.
        else:
            with suppress(GRPCError, StreamTerminatedError):  # As above.
                await self._stream.end()
        await self._exchange.disconnected()
        return None

    async def _send_messages(self) -> None:
        """Send the complete messages to the call.

        Raises:
            GRPCError: A message is invalid.
            StreamTerminatedError: The call accepts no more messages, for any reason.
        """
        while (payload := self._decoder.next_message()) is not None:
            message = Payload(self._codec.decode(payload))
            await self._open.wait()
            try:
                await self._stream.send_message(message)
            except GRPCError as error:
                raise StreamTerminatedError from error
        await self._open.wait()

    async def _download(self) -> Outcome:
        """Relay the call to the response, until the call ends."""
        stream, exchange = self._stream, self._exchange
        try:
            await stream.send_request()
            self._open.set()
            await stream.recv_initial_metadata()
            await exchange.begin(200, self._form.head(pairs_of(stream.initial_metadata)))
            async for message in stream:
                frame = encode_compressed(self._form.response_encoding, self._codec.encode(message))
                await exchange.send(self._form.wrap(frame))
                del message, frame  # Otherwise an idle stream would keep its last ones.
        except GRPCError as error:
            return outcome_of(error, pairs_of(stream.trailing_metadata))
        return Outcome(trailers=pairs_of(stream.trailing_metadata))
