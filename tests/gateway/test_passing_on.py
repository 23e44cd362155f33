"""What a request forwards to the gRPC server, metadata and deadline, for every kind of request.

The ways are a request over HTTP/1.1 (the standard library's client) and over HTTP/2 (h2), and a handshake by wsproto,
by the `websockets` library and over HTTP/2.
"""

from collections.abc import Awaitable, Callable
from typing import Any, Final

import pytest
import trio
from grpclib.const import Cardinality, Handler
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from echo.gateway.metadata import BadHeaderError, call_context, response_headers
from echo.pb.com.gopay.echo import Message, Response
from echo.pb.com.gopay.echo.streaming import StreamMessage, StreamResponse
from echo.rpc import ServerStream
from echo.wire import MetadataLike, encode_metadata
from tests.support.gateway import encoded, http_get, running_gateway
from tests.support.http2 import open_http2, websocket_over
from tests.support.websocket import Rejected, open_websocket

pytestmark = pytest.mark.usefixtures("nothing_left")

STREAM: Final = "/com.gopay.echo.streaming.StreamingServer/BidirectionalStream"
ROUTE: Final = "/ws/stream/bidirectional"
PATIENCE: Final = 20.0


class Witness:
    """Keeps the metadata and the deadline of its last call, and answers at once."""

    def __init__(self) -> None:
        self.metadata: list[tuple[str, str | bytes]] = []
        self.left: float | None = None

    def __mapping__(self) -> dict[str, Handler]:
        return {
            "/com.gopay.echo.Server/GetReply": Handler(self._unary, Cardinality.UNARY_UNARY, Message, Response),
            STREAM: Handler(self._stream, Cardinality.STREAM_STREAM, StreamMessage, StreamResponse),
        }

    def _note(self, stream: ServerStream[Any, Any]) -> None:
        assert stream.metadata is not None
        self.metadata = list(stream.metadata.items())
        self.left = stream.deadline.time_remaining() if stream.deadline else None

    async def _unary(self, stream: ServerStream[Message, Response]) -> None:
        self._note(stream)
        await stream.recv_message()
        await stream.send_message(Response(success=True))

    async def _stream(self, stream: ServerStream[StreamMessage, StreamResponse]) -> None:
        self._note(stream)
        await stream.send_message(StreamResponse(success=True))


Way = Callable[[int, dict[str, str]], Awaitable[int]]
"""Asks with these headers, as it is done; gives the HTTP status, 101 for WebSockets over either version."""


async def http1(port: int, headers: dict[str, str]) -> int:
    return 101 if (answer := await http_get(port, "/grpc/x", headers)).status == 200 else answer.status


async def http2(port: int, headers: dict[str, str]) -> int:
    async with open_http2(port) as connection:
        status, _ = await connection.get("/grpc/x", [(name.lower(), value) for name, value in headers.items()])
        return 101 if status == 200 else status


async def wsproto(port: int, headers: dict[str, str]) -> int:
    try:
        async with open_websocket(port, ROUTE, list(headers.items())) as socket:
            await socket.receive()
    except Rejected as rejected:
        return rejected.status
    return 101


async def websockets(port: int, headers: dict[str, str]) -> int:
    def talk() -> int:
        try:
            with connect(f"ws://127.0.0.1:{port}{ROUTE}", additional_headers=headers) as client:
                client.recv(timeout=PATIENCE)
        except InvalidStatus as refused:
            return refused.response.status_code
        return 101

    return await trio.to_thread.run_sync(talk)


async def websocket_over_http2(port: int, headers: dict[str, str]) -> int:
    async with open_http2(port) as connection:
        socket = await websocket_over(connection, ROUTE, [(name.lower(), value) for name, value in headers.items()])
        if socket.status == 200:
            await socket.receive()
        return 101 if socket.status == 200 else socket.status


every_way = pytest.mark.parametrize("way", [http1, http2, wsproto, websockets, websocket_over_http2])

TRACE: Final = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
PASSED_ON: Final[dict[str, tuple[str, tuple[str, str | bytes]]]] = {
    "Authorization": ("Bearer x", ("authorization", "Bearer x")),
    "traceparent": (TRACE, ("traceparent", TRACE)),
    "tracestate": ("a=1,b=2", ("tracestate", "a=1,b=2")),
    "baggage": ("user=1", ("baggage", "user=1")),
    "X-Request-Id": ("mine", ("x-request-id", "mine")),
    "b3": ("80f198ee56343ba8-1", ("b3", "80f198ee56343ba8-1")),
    "X-B3-TraceId": ("80f198ee56343ba8", ("x-b3-traceid", "80f198ee56343ba8")),
    "X-B3-SpanId": ("e457b5a2e4d86bd1", ("x-b3-spanid", "e457b5a2e4d86bd1")),
    "X-B3-ParentSpanId": ("05e3ac9a4f6e3b90", ("x-b3-parentspanid", "05e3ac9a4f6e3b90")),
    "X-B3-Sampled": ("1", ("x-b3-sampled", "1")),
    "X-B3-Flags": ("0", ("x-b3-flags", "0")),
    "X-Forwarded-For": ("1.1.1.1, 2.2.2.2", ("x-forwarded-for", "1.1.1.1, 2.2.2.2, 127.0.0.1")),
    "Grpc-Metadata-Tenant": ("t", ("tenant", "t")),
    "Grpc-Metadata-Raw-Bin": ("AP8=", ("raw-bin", b"\x00\xff")),
}


@every_way
async def test_each_name_of_the_contract_is_passed_on_and_others_are_not(way: Way) -> None:
    witness = Witness()
    async with running_gateway([witness]) as gateway:
        given = {name: value for name, (value, _) in PASSED_ON.items()}
        assert await way(gateway.port, {**given, "Cookie": "secret", "X-Other": "other"}) == 101
        names = {name for name, _ in witness.metadata}
        assert sorted(pair for pair in witness.metadata if pair[0] != "user-agent") == sorted(
            pair for _, pair in PASSED_ON.values()
        )
        assert not names & {"cookie", "x-other", "grpc-metadata-tenant"}


@every_way
async def test_a_request_without_an_id_gets_one(way: Way) -> None:
    witness = Witness()
    async with running_gateway([witness]) as gateway:
        ids = set()
        for _ in range(2):
            assert await way(gateway.port, {}) == 101
            ids.add(dict(witness.metadata)["x-request-id"])
        assert [len(found) for found in ids] == [36, 36]


@every_way
@pytest.mark.parametrize(
    ("text", "seconds"), [("60000m", 60), ("60S", 60), ("1M", 60), ("2H", 7200), ("90000000u", 90)]
)
async def test_the_deadline_is_passed_on(way: Way, text: str, seconds: float) -> None:
    witness = Witness()
    async with running_gateway([witness]) as gateway:
        assert await way(gateway.port, {"Grpc-Timeout": text}) == 101
    assert witness.left is not None
    assert seconds - 20 < witness.left <= seconds


@every_way
@pytest.mark.parametrize(
    "headers",
    [
        *({"Grpc-Timeout": text} for text in ("soon", "1", "S", "-1S", "1.5S", "123456789S", "1s", "1 S")),
        {"Grpc-Metadata-Raw-Bin": "!"},
        {"Grpc-Metadata-Grpc-Status": "0"},
        {"Grpc-Metadata-Much": "x" * 9_000},
        {"Grpc-Metadata-X-Forwarded-For": "6.6.6.6"},
        {"Grpc-Metadata-X-Request-Id": "second"},
        {"Grpc-Metadata-Authorization": "Bearer second", "Authorization": "Bearer first"},
    ],
    ids=lambda headers: next(f"{name}: {value[:12]}" for name, value in headers.items()),
)
async def test_what_is_addressed_to_grpc_and_malformed_is_refused(way: Way, headers: dict[str, str]) -> None:
    async with running_gateway([Witness()]) as gateway:
        assert await way(gateway.port, headers) == 400


OWNED: Final = (
    *("x-request-id", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto", "x-forwarded-client-cert"),
    *(
        "forwarded",
        "x-real-ip",
        "via",
        "x-envoy-external-address",
        "authorization",
        "traceparent",
        "tracestate",
        "baggage",
    ),
    *("b3", "x-b3-traceid", "x-b3-other", "grpc-timeout", "grpc-status", "grpc-encoding", "grpc-trace-bin"),
    *("te", "content-type", "content-length", "user-agent", "host", "connection", "upgrade", "transfer-encoding"),
)


@pytest.mark.parametrize("name", OWNED)
@pytest.mark.parametrize(
    "spelled", [str.lower, str.upper, lambda name: name.replace("-", "_"), lambda name: f"{name}-bin"]
)
async def test_metadata_by_prefix_never_says_what_the_gateway_says_itself(
    name: str, spelled: Callable[[str], str]
) -> None:
    spelling = spelled(name)
    given = "AA" if spelling.endswith("-bin") else "forged"
    with pytest.raises(BadHeaderError, match=r"^Grpc-Metadata-"):
        call_context(encoded((f"grpc-metadata-{spelling}", given)), "the-id", "1.1.1.1")


@pytest.mark.parametrize("name", ["tenant", "x-tenant", "x-real", "b3x", "x-b4", "forwarded.for", "author", "grpc"])
async def test_other_names_like_those_are_passed_on(name: str) -> None:
    context = call_context(encoded((f"grpc-metadata-{name}", "mine")), "the-id", None)
    assert (name, "mine") in context.metadata


@pytest.mark.parametrize(
    "name", ["caf\xe9", "a b", "a\r\nset-cookie", "a:b", "", "A", "x(y)", "it's", "tr\u00e4ger-bin"]
)
async def test_a_name_that_is_none_of_grpc_s_does_not_become_a_header(name: str) -> None:
    value = b"1" if name.endswith("-bin") else "1"
    assert response_headers({name: value, "good": "2"}, {name: value}) == [("grpc-metadata-good", "2")]


class Talkative:
    """Answers with these header fields, past the checks that our own server makes."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, fields: list[tuple[bytes, bytes]]) -> None:
        def unchecked(metadata: MetadataLike) -> list[tuple[bytes, bytes]]:
            return fields if dict(metadata) == {"marked": "1"} else encode_metadata(metadata)

        monkeypatch.setattr("echo.wire.head.encode_metadata", unchecked)

    def __mapping__(self) -> dict[str, Handler]:
        return {"/com.gopay.echo.Server/GetReply": Handler(self._unary, Cardinality.UNARY_UNARY, Message, Response)}

    async def _unary(self, stream: ServerStream[Message, Response]) -> None:
        await stream.recv_message()
        await stream.send_initial_metadata(metadata={"marked": "1"})
        await stream.send_message(Response(success=True, response="hi"))


async def test_an_odd_name_of_the_backend_s_costs_that_header_and_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    fields = [(b"it's", b"odd"), (b"tenant", b"t")]
    async with running_gateway([Talkative(monkeypatch, fields)]) as gateway:
        answer = await http_get(gateway.port, "/grpc/x")
    assert answer.status == 200
    assert answer.headers["grpc-metadata-tenant"] == "t"
    assert "odd" not in answer.headers.values()


@pytest.mark.parametrize(
    "fields",
    [
        [(b"tenant", b"t"), *((b"n%d" % number, b"") for number in range(250))],
        [(b"tenant", b"t"), *((b"n%d" % number, b"x" * 2_000) for number in range(7))],
    ],
    ids=["many", "long"],
)
async def test_metadata_that_http_clients_and_proxies_would_choke_on_is_cut(
    monkeypatch: pytest.MonkeyPatch, fields: list[tuple[bytes, bytes]]
) -> None:
    async with running_gateway([Talkative(monkeypatch, fields)]) as gateway:
        answer = await http_get(gateway.port, "/grpc/x")
    assert (answer.status, answer.headers["grpc-metadata-tenant"]) == (200, "t")
    found = [(name, value) for name, value in answer.headers.items() if name.startswith("grpc-metadata-")]
    assert len(found) <= 64
    assert sum(len(name) + len(value) + 4 for name, value in found) <= 8192
