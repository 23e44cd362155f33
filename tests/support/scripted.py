"""The echo services in memory, called with scripts, and the evidence of those calls."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import trio
from anyio.abc import ByteStream
from grpclib.exceptions import StreamTerminatedError

from echo.pb.com.gopay.echo import Message, Response
from echo.pb.com.gopay.echo.evidence import EvidenceStub, GetRequest, Record
from echo.pb.com.gopay.echo.streaming import StreamMessage, StreamResponse
from echo.rpc import Channel, ClientStream, GRPCError, Limits, Server, Status, bind, open_channel_over
from echo.services import echo_services
from echo.transport import memory_stream_pair
from tests.support.services import BIDI, CLIENT_STREAM, SERVER_STREAM, UNARY

Script: TypeAlias = Sequence[tuple[str, str]]

STREAMING = "/com.gopay.echo.streaming.StreamingServer"
EVIDENCE = "/com.gopay.echo.evidence.Evidence"


@dataclass
class Seen:
    """What a client saw of a call.

    Attributes:
        texts: The responses' texts,
        times: and when each came, in seconds from the call's beginning.
        status: How it ended,
        message: and what was said of that.
        details: ``google.rpc.Status`` in bytes.
        headers: Initial metadata,
        trailers: and trailing metadata.
        seconds: How long it took.
    """

    texts: list[str] = field(default_factory=list)
    times: list[float] = field(default_factory=list)
    status: Status = Status.OK
    message: str | None = None
    details: object = None
    headers: list[tuple[str, str | bytes]] = field(default_factory=list)
    trailers: list[tuple[str, str | bytes]] = field(default_factory=list)
    seconds: float = 0.0


class Echo:
    """The services, and a client of them.

    Attributes:
        server: Serves them.
        channel: To it.
        connections: The server's ends of the connections.
    """

    def __init__(self, server: Server) -> None:
        self.server = server
        self.channel: Channel
        self.connections: list[ByteStream] = []

    def unary(self, *script: tuple[str, str], timeout: float | None = None) -> ClientStream[Message, Response]:
        """A call of GetReply."""
        path = "/com.gopay.echo.Server/GetReply"
        return self.channel.request(path, UNARY, Message, Response, metadata=asked(script), timeout=timeout)

    def stream(
        self, name: str, *script: tuple[str, str], timeout: float | None = None
    ) -> ClientStream[StreamMessage, StreamResponse]:
        """A call of one of the streaming methods."""
        kind = {"ServerStream": SERVER_STREAM, "ClientStream": CLIENT_STREAM, "BidirectionalStream": BIDI}[name]
        path = f"{STREAMING}/{name}"
        return self.channel.request(path, kind, StreamMessage, StreamResponse, metadata=asked(script), timeout=timeout)

    async def call(self, name: str, *script: tuple[str, str], messages: int = 1, timeout: float | None = None) -> Seen:
        """Make a whole call of a method."""
        seen, began = Seen(), trio.current_time()
        stream: ClientStream[Any, Any]
        if name == "GetReply":
            stream = self.unary(*script, timeout=timeout)
        else:
            stream = self.stream(name, *script, timeout=timeout)
        request: Any = Message("hi") if name == "GetReply" else StreamMessage(stream_id="a", message="hi")
        try:
            async with stream:
                for _ in range(messages):
                    await stream.send_message(request)
                if name != "GetReply":
                    await stream.end()
                while (reply := await stream.recv_message()) is not None:
                    seen.texts.append(reply.response)
                    seen.times.append(trio.current_time() - began)
        except GRPCError as error:
            seen.status, seen.message, seen.details = error.status, error.message, error.details
        except StreamTerminatedError:
            seen.status = Status.UNKNOWN
        seen.seconds = trio.current_time() - began
        seen.headers = [*(stream.initial_metadata or {}).items()]
        seen.trailers = [*(stream.trailing_metadata or {}).items()]
        return seen

    async def record(self, call_id: str = "a") -> Record:
        """The evidence of a call."""
        async with bind(EvidenceStub, self.channel) as stub:
            return await stub.get(GetRequest(call_id))


def asked(script: Script) -> list[tuple[str, str]]:
    """A script as metadata. Names that begin with a space are used without a prefix."""
    return [(name[1:] if name.startswith(" ") else f"x-echo-{name}", value) for name, value in script]


@asynccontextmanager
async def scripted_echo(limits: Limits = Limits(), *, scripting: bool = True) -> AsyncIterator[Echo]:
    """The services while the block runs."""
    echo = Echo(Server(echo_services(scripting=scripting).services, limits=limits))
    async with trio.open_nursery() as nursery:

        async def dial() -> ByteStream:
            ours, theirs = memory_stream_pair()
            echo.connections.append(theirs)
            nursery.start_soon(echo.server.serve_connection, theirs)
            return ours

        async with open_channel_over(dial, "memory") as echo.channel:
            yield echo
        nursery.cancel_scope.cancel()
