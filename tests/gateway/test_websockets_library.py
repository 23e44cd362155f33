"""The contract's WebSocket rows with a third-party client: the `websockets` library, in a thread of its own."""

import json
from collections.abc import AsyncIterator, Callable
from functools import partial
from typing import TypeVar

import pytest
import trio
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.frames import Close
from websockets.sync.client import ClientConnection, connect
from websockets.typing import Origin

from echo.pb.com.gopay.echo.streaming import StreamMessage, StreamResponse
from echo.services import EchoService, StreamingEchoService
from tests.support.gateway import RunningGateway, gateway_to, running_gateway
from tests.support.streams import HELLO

pytestmark = pytest.mark.usefixtures("nothing_left")

T = TypeVar("T")

PATIENCE = 20.0


class Hurried(StreamingEchoService):
    """The echo, without its pauses."""

    async def server_stream(self, stream_message: StreamMessage) -> AsyncIterator[StreamResponse]:
        for number in range(1, 6):
            yield StreamResponse(
                stream_id=stream_message.stream_id,
                sequence_number=number,
                timestamp=1,
                response=f"from server: {stream_message.message} (echo {number}/5)",
                success=True,
            )


def talk(port: int, route: str, messages: list[str | bytes], **options: str) -> tuple[list[str], int, str]:
    """Send messages, then read to the end; gives the texts that came, and how the gateway closed."""
    texts: list[str] = []
    with connect(f"ws://127.0.0.1:{port}/ws/stream/{route}", additional_headers=options, max_size=None) as client:
        try:
            for message in messages:
                client.send(message)
            while True:
                texts.append(str(client.recv(timeout=PATIENCE)))
        except ConnectionClosed as closed:
            assert closed.rcvd is not None, "the gateway has not closed, but vanished"
            return texts, closed.rcvd.code, closed.rcvd.reason


def responses(texts: list[str]) -> list[str]:
    return [json.loads(text)["response"] for text in texts]


async def in_thread(function: Callable[[], T]) -> T:
    return await trio.to_thread.run_sync(function)


INVALID = "invalid message format"


@pytest.mark.parametrize(
    ("route", "messages", "expected", "code", "reason"),
    [
        ("bidirectional", [HELLO, HELLO.encode(), ""], 2 * ["from server: hi"], 1000, ""),
        ("bidirectional", [HELLO, '{"half_close":true}'], ["from server: hi"], 1000, ""),
        ("bidirectional", ["nonsense", HELLO, b"\xff", ""], None, 1000, ""),
        ("bidirectional", ["{}"], [], 1011, "INVALID_ARGUMENT: stream_id is required"),
        ("server", [HELLO], [f"from server: hi (echo {number}/5)" for number in range(1, 6)], 1000, ""),
        ("server", ["nonsense"], [INVALID], 1007, INVALID),
        ("client", [*[HELLO] * 100, b""], ["from server: received 100 messages"], 1000, ""),
        ("client", [""], ["from server: received 0 messages"], 1000, ""),
        ("client", ["nonsense", HELLO, ""], [INVALID, "from server: received 1 messages"], 1000, ""),
        ("client", ["{}"], [], 1011, "INVALID_ARGUMENT: stream_id is required"),
    ],
)
async def test_rows(
    route: str, messages: list[str | bytes], expected: list[str] | None, code: int, reason: str
) -> None:
    async with running_gateway([Hurried(), EchoService()]) as gateway:
        texts, *closed = await in_thread(partial(talk, gateway.port, route, messages))
    if expected is None:  # The complaints may come before an answer that is under way.
        assert sorted(responses(texts)) == ["from server: hi", INVALID, INVALID]
    else:
        assert responses(texts) == expected
    assert closed == [code, reason]


async def test_an_unreachable_backend() -> None:
    async with gateway_to(1) as gateway:
        assert await in_thread(partial(talk, gateway.port, "client", [])) == ([], 1011, "gRPC connection failed")


@pytest.mark.parametrize("route", ["bidirectional", "server", "client"])
async def test_a_message_far_over_the_limit_gets_its_close_code_not_a_reset(route: str) -> None:
    async with running_gateway([Hurried()]) as gateway:
        texts, code, _ = await in_thread(partial(talk, gateway.port, route, ["x" * 20_000_000]))
        assert (texts, code) == ([], 1009)


async def test_a_message_at_the_limit_is_taken() -> None:
    padded = HELLO + " " * (4 * 2**20 - len(HELLO))
    async with running_gateway([Hurried()]) as gateway:
        texts, code, _ = await in_thread(partial(talk, gateway.port, "bidirectional", [padded, ""]))
        assert (responses(texts), code) == (["from server: hi"], 1000)
        assert (await in_thread(partial(talk, gateway.port, "bidirectional", [padded + " "])))[1] == 1009


async def test_a_deadline_by_the_handshake() -> None:
    async with running_gateway([Hurried()]) as gateway:
        timeout = {"Grpc-Timeout": "50m"}
        closed = await in_thread(partial(talk, gateway.port, "bidirectional", [], **timeout))
        assert closed == ([], 1011, "DEADLINE_EXCEEDED: the deadline passed")


async def test_a_foreign_page() -> None:
    def foreign(port: int) -> int:
        with (
            pytest.raises(InvalidStatus) as refused,
            connect(f"ws://127.0.0.1:{port}/ws/stream/client", origin=Origin("https://evil.test")),
        ):
            pass
        return refused.value.response.status_code

    async with running_gateway([Hurried()]) as gateway:
        assert await in_thread(partial(foreign, gateway.port)) == 403


async def test_a_drain() -> None:
    def drained(gateway: RunningGateway) -> object:
        with connect(f"ws://127.0.0.1:{gateway.port}/ws/stream/bidirectional") as client:
            assert exchange(client) == "from server: hi"
            trio.from_thread.run_sync(gateway.stop.set)
            with pytest.raises(ConnectionClosed) as closed:
                client.recv(timeout=PATIENCE)
            return closed.value.rcvd

    async with running_gateway([Hurried()], SHUTDOWN_GRACE="50ms") as gateway:
        assert await in_thread(partial(drained, gateway)) == Close(1001, "going away")


def exchange(client: ClientConnection) -> str:
    client.send(HELLO)
    return str(json.loads(client.recv(timeout=PATIENCE))["response"])


async def test_no_compression_is_agreed_on() -> None:
    """A window a connection would cost hundreds of KiB, and a few bytes of it could inflate to megabytes."""

    def agreed(port: int) -> object:
        with connect(f"ws://127.0.0.1:{port}/ws/stream/bidirectional", compression="deflate") as client:
            assert client.request is not None
            assert "permessage-deflate" in client.request.headers["Sec-WebSocket-Extensions"]
            assert exchange(client) == "from server: hi"
            return client.protocol.extensions

    async with running_gateway([Hurried()]) as gateway:
        assert await in_thread(partial(agreed, gateway.port)) == []


async def test_the_summary_always_reaches_a_client_that_half_closes() -> None:
    def often(gateway: RunningGateway) -> None:
        for number in range(200):
            texts, code, _ = talk(gateway.port, "client", [*[HELLO] * (number % 5), ""])
            assert (responses(texts), code) == ([f"from server: received {number % 5} messages"], 1000)

    async with running_gateway([Hurried()]) as gateway, trio.open_nursery() as nursery:
        for _ in range(2):
            nursery.start_soon(in_thread, partial(often, gateway))
