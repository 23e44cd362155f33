"""Paths to be probed in tests: an echo server, with whatever stands before it."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import trio
from grpclib.const import Cardinality, Handler
from multidict import MultiDict

from echo.pb.com.gopay.echo import Message, Response
from echo.pb.com.gopay.echo.streaming import StreamMessage, StreamResponse
from echo.probe.budget import Budget, Pace
from echo.probe.check import Check
from echo.probe.evidence import Record
from echo.probe.finding import Finding, JsonValue
from echo.probe.path import Path
from echo.probe.survey import Survey
from echo.probe.target import Target
from echo.rpc import Server, ServerStream
from tests.probe.relays import Fault, relaying
from tests.support.serving import LOOPBACK, serving


def no_tls(alpn: Sequence[str]) -> object:
    raise AssertionError("no TLS here")


class Scripted:
    """What the checks need of echo's scripting and evidence, until those are there."""

    def __init__(self) -> None:
        self.calls: dict[str, list[dict[str, JsonValue]]] = {}

    async def records(self, call_id: str) -> Sequence[Record]:
        return [Record(fields) for fields in self.calls.get(call_id, [])]

    def __mapping__(self) -> dict[str, Handler]:
        streaming = "/com.gopay.echo.streaming.StreamingServer/BidirectionalStream"
        return {
            "/com.gopay.echo.Server/GetReply": Handler(
                self.get_reply,
                Cardinality.UNARY_UNARY,
                Message,
                Response,
            ),
            streaming: Handler(
                self.bidirectional,
                Cardinality.STREAM_STREAM,
                StreamMessage,
                StreamResponse,
            ),
        }

    async def get_reply(self, stream: ServerStream[Message, Response]) -> None:
        call_id = str(_metadata(stream)["x-echo-call-id"])
        self.calls.setdefault(call_id, []).append({"call_id": call_id, "outcome": "completed"})
        message = await stream.recv_message()
        assert message is not None
        await stream.send_initial_metadata(metadata=MultiDict(_pairs(stream, "x-echo-set-header")))
        await stream.send_message(Response(success=True, response=f"from server:{message.message}"))
        await stream.send_trailing_metadata(metadata=MultiDict(_pairs(stream, "x-echo-set-trailer")))

    async def bidirectional(self, stream: ServerStream[StreamMessage, StreamResponse]) -> None:
        record: dict[str, JsonValue] = {"call_id": str(_metadata(stream)["x-echo-call-id"])}
        self.calls.setdefault(str(record["call_id"]), []).append(record)
        try:
            async for message in stream:
                await stream.send_message(StreamResponse(stream_id=message.stream_id))
            record["outcome"] = "completed"
        except trio.Cancelled:
            record["outcome"] = "cancelled"
            raise


def _metadata(stream: ServerStream[Any, Any]) -> MultiDict[str | bytes]:
    assert stream.metadata is not None
    return stream.metadata


def _pairs(stream: ServerStream[Message, Response], name: str) -> list[tuple[str, str]]:
    found = []
    for value in _metadata(stream).getall(name, []):
        key, _, text = str(value).partition("=")
        found.append((key, text))
    return found


@asynccontextmanager
async def path_through(fault: Fault | None = None, *, pace: Pace = Pace.QUICK) -> AsyncIterator[Path]:
    """The path to an echo server behind a hop of ours with this fault, which has a direct way around it, too."""
    scripted = Scripted()
    async with serving(Server([scripted])) as port, relaying(port, fault) as hop:
        yield Path(
            Target(LOOPBACK, hop.port),
            no_tls,  # type: ignore[arg-type]
            Budget.of(pace),
            direct=[Target(LOOPBACK, port)],
            witness=scripted,
        )


async def finding_of(check: Check, fault: Fault | None = None, *, pace: Pace = Pace.QUICK) -> Finding:
    """What a check finds out about a path with this fault, by way of the survey."""
    async with path_through(fault, pace=pace) as path:
        report = await Survey(path, [check]).run()
    return report.results[0].finding
