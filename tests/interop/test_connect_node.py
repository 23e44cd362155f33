"""@connectrpc/connect-node calls the gateway: Connect and gRPC-Web over both versions of HTTP, and gRPC our server."""

import base64
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trio
from google.protobuf.any_pb2 import Any as AnyMessage

from echo.rpc import Cardinality, Status
from echo.services import echo_services
from tests.support.connect import ConnectClient, connect_client, needs_connect
from tests.support.foreign import BIDI, MEGABYTE, METADATA, SERVER_STREAM, STATUS_TEXT, UNARY
from tests.support.gateway import RunningGateway, running_gateway
from tests.support.leaks import settles
from tests.support.ours import our_server
from tests.support.recording import DEADLINE, PATHS, SLEEPING, STATUS, STATUS_DETAILS, STATUS_MESSAGE, WAIT, Recorder
from tests.support.rpc_over_http import BIDIRECTIONAL, GET_REPLY

pytestmark = needs_connect

WAYS = pytest.mark.parametrize(
    "way",
    [{"protocol": protocol, "http": http} for protocol in ("connect", "grpc-web") for http in ("1.1", "2")],
    ids=lambda way: f"{way['protocol']}-{way['http']}",
)
Way = dict[str, Any]

DETAIL = AnyMessage(type_url="type.googleapis.com/google.rpc.ErrorInfo", value=b"\x0a\x03why").SerializeToString()
TEXT = STATUS_TEXT.encode()
DETAILS = b"\x08\x09\x12%c%b\x1a%c%b" % (len(TEXT), TEXT, len(DETAIL), DETAIL)


@asynccontextmanager
async def served(folder: Path) -> AsyncIterator[tuple[Recorder, RunningGateway, ConnectClient]]:
    """The recorder and the echo services, a gateway in front of them, and the client."""
    recorder = Recorder()
    services = [*echo_services().services, recorder]
    async with running_gateway(services) as gateway, connect_client(gateway.port, folder) as client:
        yield recorder, gateway, client


def kinds_by(way: Way) -> list[Cardinality]:
    """The kinds of calls that can be made in this way: streams of a client need HTTP/2 or a client that waits."""
    if way["http"] == "1.1":
        return [kind for kind in Cardinality if not (kind.client_streaming and kind.server_streaming)]
    return list(Cardinality)


@WAYS
async def test_every_kind_of_call_with_metadata(way: Way, tmp_path: Path) -> None:
    async with served(tmp_path) as (recorder, _, client):
        for kind in kinds_by(way):
            sent = [{"streamId": "a", "message": text} for text in ("one", MEGABYTE)[: 1 + kind.client_streaming]]
            outcome = await client.call(PATHS[kind], sent, METADATA.items(), **way)
            assert (outcome.code, outcome.message) == (0, "")
            expected = {UNARY: ["one"], SERVER_STREAM: 3 * ["one"], BIDI: ["one", MEGABYTE]}.get(kind, [MEGABYTE])
            assert outcome.texts == expected
            seen = await recorder.calls.next()
            assert seen.metadata.items() >= METADATA.items()
            assert (
                dict(outcome.initial).items()
                >= {name: METADATA[name] for name in METADATA if "initial" in name}.items()
            )
            assert (
                dict(outcome.trailing).items() >= {name: METADATA[name] for name in METADATA if "trail" in name}.items()
            )


@WAYS
async def test_an_error_with_message_details_and_metadata(way: Way, tmp_path: Path) -> None:
    asked: dict[str, str | bytes] = {
        STATUS: str(Status.FAILED_PRECONDITION.value),
        STATUS_MESSAGE: TEXT,
        STATUS_DETAILS: DETAILS,
        "initial-a": "1",
        "trailing-b": "2",
    }
    async with served(tmp_path) as (_, _, client):
        for kind in kinds_by(way):
            outcome = await client.call(PATHS[kind], [{"streamId": "a"}], asked.items(), **way)
            assert (outcome.code, outcome.message) == (Status.FAILED_PRECONDITION.value, STATUS_TEXT)
            assert outcome.details == ["google.rpc.ErrorInfo"]
            assert ("trailing-b", "2") in outcome.trailing


@WAYS
@pytest.mark.parametrize("gzip", [False, True])
async def test_messages_in_json_and_compressed(gzip: bool, way: Way, tmp_path: Path) -> None:
    message = {"streamId": "a", "sequenceNumber": str(2**53 + 1), "message": MEGABYTE}
    async with served(tmp_path) as (_, _, client):
        for kind, path in ((UNARY, GET_REPLY), (SERVER_STREAM, "/grpc.health.v1.Health/Watch"), (BIDI, BIDIRECTIONAL)):
            if kind not in kinds_by(way):
                continue
            sent = {UNARY: {"message": MEGABYTE}, SERVER_STREAM: {}, BIDI: message}[kind]
            outcome = await client.call(path, [sent], json=True, gzip=gzip, cancel=1, **way)
            (reply,) = outcome.replies
            assert reply.get("response", "").removeprefix("from server:").strip() in (MEGABYTE, "")
            assert outcome.code == (Status.CANCELLED.value if kind is SERVER_STREAM else 0) or kind is BIDI


@WAYS
async def test_a_deadline_cancels_the_handler(way: Way, tmp_path: Path) -> None:
    codes: dict[Cardinality, int] = {}
    async with served(tmp_path) as (recorder, _, client):

        async def call(kind: Cardinality) -> None:
            metadata = {WAIT: SLEEPING}.items()
            codes[kind] = (await client.call(PATHS[kind], [{"streamId": "a"}], metadata, timeout=DEADLINE, **way)).code

        await client.call(PATHS[UNARY], [{"streamId": "a"}], **way)  # So that there is a connection.
        await recorder.calls.next()
        async with trio.open_nursery() as nursery:
            for kind in kinds_by(way):
                nursery.start_soon(call, kind)
            for _ in kinds_by(way):
                await (await recorder.calls.next()).is_cancelled_in(DEADLINE)
        assert codes == dict.fromkeys(kinds_by(way), Status.DEADLINE_EXCEEDED.value)


@WAYS
async def test_a_client_that_cancels_is_seen_by_the_handler(way: Way, tmp_path: Path) -> None:
    async with served(tmp_path) as (_, gateway, client):
        outcome = await client.call("/grpc.health.v1.Health/Watch", [{"service": ""}], cancel=1, **way)
        assert outcome.replies == [{"status": "SERVING"}]
        assert outcome.code == Status.CANCELLED.value
        await settles(lambda: gateway.server.calls, 0, "calls of the server")


@pytest.mark.parametrize("json", [False, True])
@pytest.mark.parametrize("http", ["1.1", "2"])
async def test_a_method_without_side_effects_by_get(json: bool, http: str, tmp_path: Path) -> None:
    async with served(tmp_path) as (_, _, client):
        outcome = await client.call(GET_REPLY, [{"message": "é?&"}], protocol="connect", http=http, json=json, get=True)
        assert outcome.texts == ["from server:é?&"]


@WAYS
async def test_there_is_no_such_method(way: Way, tmp_path: Path) -> None:
    async with running_gateway(echo_services().services) as gateway, connect_client(gateway.port, tmp_path) as client:
        for kind in kinds_by(way):
            outcome = await client.call(PATHS[kind], [{"streamId": "a"}], **way)
            assert outcome.code == Status.UNIMPLEMENTED.value


async def test_the_gateway_is_told_from_the_server_when_grpc_comes_to_it(tmp_path: Path) -> None:
    async with served(tmp_path) as (_, _, client):
        outcome = await client.call(GET_REPLY, [{}], protocol="grpc", http="2")
        assert outcome.code == Status.UNIMPLEMENTED.value
        assert "this is the gateway's HTTP port" in outcome.message


async def test_connect_node_speaks_grpc_to_our_server(tmp_path: Path) -> None:
    async with our_server() as ours, connect_client(ours.port, tmp_path) as client:
        for kind in Cardinality:
            sent = [{"streamId": "a", "message": text} for text in ("one", MEGABYTE)[: 1 + kind.client_streaming]]
            outcome = await client.call(PATHS[kind], sent, METADATA.items(), protocol="grpc", http="2", gzip=True)
            assert (outcome.code, outcome.message) == (0, "")
            assert outcome.texts[-1] == sent[-1]["message"]
            assert base64.b64encode(bytes(dict(outcome.trailing)["trailing-octets-bin"]))  # type: ignore[arg-type]
