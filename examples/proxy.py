"""A proxy in front of the chat room: ``python -m examples.proxy`` serves it on port 50053, and calls it on port 50052.

It passes messages on as bytes, with a codec that leaves them alone, so it needs no generated code. Every call is
taken for a stream in both directions: on the wire, calls of all four kinds look alike.
"""

from collections.abc import Iterable, Mapping
from contextlib import suppress

import anyio
from grpclib.const import Handler
from grpclib.encoding.base import CodecBase

from echo.rpc import (
    Cardinality,
    Channel,
    ClientStream,
    Server,
    ServerStream,
    StreamTerminatedError,
    open_channel,
    open_tcp_listener,
)


# --8<-- [start:codec]
class Unchanged(CodecBase):
    """Messages are bytes, and stay as they are."""

    @property
    def __content_subtype__(self) -> str:
        return "proto"  # grpclib wants it; it is not sent.

    def encode(self, message: bytes, message_type: type[bytes]) -> bytes:  # noqa: ARG002 - it is always bytes
        """What to send for a message."""
        return message

    def decode(self, data: bytes, message_type: type[bytes]) -> bytes:  # noqa: ARG002 - the same
        """The message that arrived; an error raised here ends the call with INTERNAL."""
        return data
        # --8<-- [end:codec]


# --8<-- [start:proxy]
class Proxy:
    """Passes calls of these methods on to another server. Its channel and its server have the codec `Unchanged`."""

    def __init__(self, backend: Channel, paths: Iterable[str]) -> None:
        self._backend = backend
        self._paths = paths

    def __mapping__(self) -> Mapping[str, Handler]:
        return {path: Handler(self.forward, Cardinality.STREAM_STREAM, bytes, bytes) for path in self._paths}

    async def forward(self, stream: ServerStream[bytes, bytes]) -> None:
        """Pass on one call: its deadline, metadata, messages, half-close and status, and whichever side cancels it."""
        call = self._backend.request(
            stream.path,
            Cardinality.STREAM_STREAM,
            bytes,
            bytes,
            deadline=stream.deadline,
            metadata=stream.metadata,
        )
        try:
            async with call as onward, anyio.create_task_group() as tasks:
                await onward.send_request()
                tasks.start_soon(self._forward_requests, stream, onward)
                await onward.recv_initial_metadata()
                await stream.send_initial_metadata(metadata=onward.initial_metadata)
                async for reply in onward:
                    await stream.send_message(
                        reply
                    )  # Waits while the client reads slowly, and then the backend waits, too.
                tasks.cancel_scope.cancel()  # The backend has ended the call with OK.
        finally:
            stream.trailing_metadata.extend(call.trailing_metadata or {})

    async def _forward_requests(self, stream: ServerStream[bytes, bytes], onward: ClientStream[bytes, bytes]) -> None:
        with suppress(StreamTerminatedError):  # The backend has ended the call with OK without reading everything.
            async for message in stream:
                await onward.send_message(message)
            await onward.end()
            # --8<-- [end:proxy]


async def main() -> None:
    """Serve on port 50053, and call port 50052 of this machine."""
    async with open_channel("127.0.0.1", 50052, codec=Unchanged()) as backend:
        listener = await open_tcp_listener("127.0.0.1", 50053)
        print("serving on 127.0.0.1:50053; Ctrl-C stops it")
        await Server([Proxy(backend, ["/chat.v1.Chat/Join"])], codec=Unchanged()).serve(listener)


if __name__ == "__main__":
    try:
        anyio.run(main, backend="trio")
    except* KeyboardInterrupt:  # In a group: Ctrl-C has ended the nurseries, too.
        pass
