"""A call whose messages are framed in the bodies of request and response: gRPC-Web's, and Connect's streams.

    request --(upload)--> call --(download)--> response

Two tasks, one nursery; whichever first knows how the call ends, ends both. That is the *upload* if the client sends
something that is no message, or leaves; and the *download* if the call ends. Each waits while the side it sends to
takes nothing, so that no more than a message and a piece of the body is held on the way.
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


class Form(Protocol):
    """How a protocol writes a stream.

    Attributes:
        request_encoding: How the client's messages are compressed.
        response_encoding: How ours are.
    """

    request_encoding: str
    response_encoding: str

    def unwrap(self, piece: bytes) -> bytes:
        """The frames in a piece of the request's body. Raises GRPCError."""

    def close(self) -> None:
        """The request's body has ended. Raises GRPCError."""

    def wrap(self, frames: bytes) -> bytes:
        """A piece of the response's body, with these frames."""

    def head(self, initial: Pairs) -> HTTPHeaders:
        """The headers of a response that has messages."""

    def last(self, outcome: Outcome) -> bytes:
        """The last frame of such a response."""

    def alone(self, outcome: Outcome) -> tuple[HTTPHeaders, bytes]:
        """Headers and frames of a response that only says how the call ended."""


async def serve_stream(runtime: Runtime, exchange: Exchange, form: Form, call: Call) -> None:
    """Make the call and answer the request."""
    outcome: Outcome | None = GOING_AWAY  # Unless there is another: the call was cut off.
    # A call that is left before its end may have failed meanwhile. Why it was left counts.
    with runtime.drain.work(), suppress(GRPCError):
        async with call.open(runtime, Cardinality.STREAM_STREAM) as stream:
            decoder = MessageDecoder(runtime.settings.grpc_max_message_size, form.request_encoding)
            outcome = await _Relay(exchange, form, call.codec, decoder, stream).run()
    if outcome is not None:
        await tell(exchange, form, outcome)


async def tell(exchange: Exchange, form: Form, outcome: Outcome) -> None:
    """Say how the call ended, and end the response."""
    if exchange.began:
        await exchange.end(form.wrap(form.last(outcome)))
    else:
        headers, frames = form.alone(outcome)
        await exchange.answer(200, headers, form.wrap(frames))


class _Relay:
    """The two directions of one call."""

    def __init__(self, exchange: Exchange, form: Form, codec: Codec, decoder: MessageDecoder, stream: Stream) -> None:
        self._exchange = exchange
        self._form = form
        self._codec = codec
        self._decoder = decoder
        self._stream = stream
        self._open = trio.Event()

    async def run(self) -> Outcome | None:
        """Relay; gives how the call ended, or None if there is nobody to be told."""
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
        """From the request to the call. Ends with what is wrong with the request, or when the client has left."""
        try:
            while (piece := await self._exchange.receive()) is not None:
                self._decoder.feed(self._form.unwrap(piece))
                await self._pass_on()
            self._form.close()
            self._decoder.close()
            await self._pass_on()
        except ClientGoneError:
            return None
        except GRPCError as error:
            return outcome_of(error)
        except StreamTerminatedError:
            pass  # The call takes no more. The download will say how it ended.
        else:
            with suppress(GRPCError, StreamTerminatedError):  # Likewise.
                await self._stream.end()
        await self._exchange.gone()
        return None

    async def _pass_on(self) -> None:
        """Send the messages that are complete.

        Raises:
            GRPCError: One is no message.
            StreamTerminatedError: The call takes no more, for whatever reason.
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
        """From the call to the response; ends as the call does."""
        stream, exchange = self._stream, self._exchange
        try:
            await stream.send_request()
            self._open.set()
            await stream.recv_initial_metadata()
            await exchange.begin(200, self._form.head(pairs_of(stream.initial_metadata)))
            async for message in stream:
                frame = encode_compressed(self._form.response_encoding, self._codec.encode(message))
                await exchange.send(self._form.wrap(frame))
        except GRPCError as error:
            return outcome_of(error, pairs_of(stream.trailing_metadata))
        return Outcome(trailers=pairs_of(stream.trailing_metadata))
