"""The servers that are compared, each in a process of its own: ``python -m tests.bench.peers NAME`` prints its port.

All serve ``GetReply`` and ``BidirectionalStream`` with the words of the echo services: ours as it is, on either event
loop, the others in the fewest lines that do the same, with the messages that people use with them.
"""

import asyncio
import socket
import sys
import time
from collections.abc import AsyncIterator, Mapping
from typing import Any

import anyio
import grpc
import grpclib.server
from anyio.abc import SocketAttribute
from grpclib.const import Cardinality, Handler

from echo.pb.com.gopay.echo import Message, Response, ServerBase
from echo.pb.com.gopay.echo.streaming import StreamingServerBase, StreamMessage, StreamResponse
from echo.rpc import Server, open_tcp_listener
from echo.services import echo_services
from tests.support import grpcio as protobuf

LOOPBACK = "127.0.0.1"
GET_REPLY = "/com.gopay.echo.Server/GetReply"
BIDIRECTIONAL = "/com.gopay.echo.streaming.StreamingServer/BidirectionalStream"


async def echo() -> None:
    """Ours."""
    server = Server(echo_services().services)
    async with anyio.create_task_group() as nursery:
        listener = await open_tcp_listener(LOOPBACK, 0)
        await nursery.start(server.serve, listener)
        print(listener.extra(SocketAttribute.local_port), flush=True)


class BetterprotoUnary(ServerBase):
    async def get_reply(self, message: Message) -> Response:
        return Response(success=True, response=f"from server:{message.message}")


class BetterprotoStreams(StreamingServerBase):
    async def bidirectional_stream(
        self, stream_message_iterator: AsyncIterator[StreamMessage]
    ) -> AsyncIterator[StreamResponse]:
        number = 0
        async for message in stream_message_iterator:
            number += 1
            yield StreamResponse(
                message.stream_id, number, time.time_ns(), f"from server: {message.message}", success=True
            )


class ProtobufServices:
    """grpclib's contract with protobuf's own messages."""

    def __mapping__(self) -> Mapping[str, Handler]:
        p = protobuf
        return {
            GET_REPLY: Handler(self.get_reply, Cardinality.UNARY_UNARY, p.Message, p.Response),
            BIDIRECTIONAL: Handler(self.stream, Cardinality.STREAM_STREAM, p.StreamMessage, p.StreamResponse),
        }

    async def get_reply(self, stream: "grpclib.server.Stream[Any, Any]") -> None:
        request = await stream.recv_message()
        assert request is not None
        await stream.send_message(protobuf.Response(success=True, response="from server:" + request.message))

    async def stream(self, stream: "grpclib.server.Stream[Any, Any]") -> None:
        number = 0
        async for message in stream:
            number += 1
            await stream.send_message(
                protobuf.StreamResponse(
                    stream_id=message.stream_id,
                    sequence_number=number,
                    timestamp=time.time_ns(),
                    response="from server: " + message.message,
                    success=True,
                )
            )


async def on_grpclib(*services: Any) -> None:
    server = grpclib.server.Server(list(services))
    # With its protocol named, as asyncio names it for people who give host and port: else it sets no TCP_NODELAY.
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP) as listening:
        listening.bind((LOOPBACK, 0))
        await server.start(sock=listening)
        print(listening.getsockname()[1], flush=True)
        await server.wait_closed()


async def on_grpcio_aio() -> None:
    p = protobuf

    async def get_reply(request: Any, context: Any) -> Any:
        return p.Response(success=True, response="from server:" + request.message)

    async def stream(requests: AsyncIterator[Any], context: Any) -> AsyncIterator[Any]:
        number = 0
        async for message in requests:
            number += 1
            yield p.StreamResponse(
                stream_id=message.stream_id,
                sequence_number=number,
                timestamp=time.time_ns(),
                response="from server: " + message.message,
                success=True,
            )

    server = grpc.aio.server()
    unary = grpc.unary_unary_rpc_method_handler(get_reply, p.Message.FromString, p.Response.SerializeToString)
    bidi = grpc.stream_stream_rpc_method_handler(stream, p.StreamMessage.FromString, p.StreamResponse.SerializeToString)
    server.add_generic_rpc_handlers(
        [
            grpc.method_handlers_generic_handler("com.gopay.echo.Server", {"GetReply": unary}),
            grpc.method_handlers_generic_handler(
                "com.gopay.echo.streaming.StreamingServer", {"BidirectionalStream": bidi}
            ),
        ]
    )
    port = server.add_insecure_port(f"{LOOPBACK}:0")
    await server.start()
    print(port, flush=True)
    await server.wait_for_termination()


PEERS = {
    "echo": lambda: anyio.run(echo, backend="trio"),
    "echo on asyncio": lambda: anyio.run(echo, backend="asyncio"),
    "grpclib + protobuf": lambda: asyncio.run(on_grpclib(ProtobufServices())),
    "grpclib + betterproto": lambda: asyncio.run(on_grpclib(BetterprotoUnary(), BetterprotoStreams())),
    "grpcio.aio": lambda: asyncio.run(on_grpcio_aio()),
}

if __name__ == "__main__":
    PEERS[sys.argv[1]]()
