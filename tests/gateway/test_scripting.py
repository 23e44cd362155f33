"""Scripted requests and what is recorded of them: query parameters, headers, evidence, ``/request``."""

import json
from base64 import b64encode

import pytest
import trio

from echo.evidence.headers import MAX_HEADERS_SIZE
from echo.gateway.evidence import MOST_ATTEMPTS, GatewayRecorder
from echo.gateway.hypercorn_compat import CLOSE_TIMEOUT
from tests.gateway.hypercorn_compat.clients import connected, get
from tests.gateway.scopes import http_scope
from tests.support.gateway import RunningGateway, http_get_on, running_gateway
from tests.support.http2 import open_http2
from tests.support.quiet_clock import QuietClock
from tests.support.streams import HELLO
from tests.support.websocket import Closed, open_websocket

pytestmark = pytest.mark.usefixtures("nothing_left")

BIDIRECTIONAL = "/ws/stream/bidirectional"


async def evidence(gateway: RunningGateway, call_id: str) -> dict[str, dict[str, object]]:
    answer = await gateway.get(f"/evidence/{call_id}")
    assert answer.status == 200, answer.body
    told: dict[str, dict[str, object]] = json.loads(answer.body)
    return told


@pytest.mark.parametrize(
    ("target", "headers"),
    [
        ("/grpc/hi?status=14:please%20retry", {}),
        ("/grpc/hi?status=14%3Aplease+retry", {}),
        ("/grpc/hi", {"X-Echo-Status": "14:please retry"}),
    ],
)
async def test_a_status_is_scripted(target: str, headers: dict[str, str]) -> None:
    async with running_gateway() as gateway:
        answer = await gateway.get(target, headers)
    assert answer.status == 503
    assert json.loads(answer.body) == {"code": 14, "status": "UNAVAILABLE", "message": "please retry"}


async def test_headers_and_trailers_are_scripted() -> None:
    async with running_gateway() as gateway:
        answer = await gateway.get("/grpc/hi?set-header=a=1&set-trailer=b=2")
    assert answer.status == 200
    assert answer.headers["grpc-metadata-a"] == "1"
    assert answer.headers["grpc-trailer-b"] == "2"


async def test_a_websocket_is_scripted(clock: QuietClock) -> None:
    async with running_gateway() as gateway:
        async with open_websocket(gateway.port, "/ws/stream/server?count=3&interval=100s&size=1KiB") as socket:
            await socket.send(HELLO)
            began = trio.current_time()
            replies = [json.loads(str(await socket.receive())) for _ in range(3)]
            assert 200 <= trio.current_time() - began < 201
            assert await socket.receive() == Closed(1000)
        assert [reply["sequence_number"] for reply in replies] == [1, 2, 3]
        assert all(len(reply["response"]) > 900 for reply in replies)
        async with open_websocket(gateway.port, f"{BIDIRECTIONAL}?status=9:no&after=1") as socket:
            await socket.send(HELLO)
            assert '"response":"from server: hi"' in str(await socket.receive())
            assert await socket.receive() == Closed(1011, "FAILED_PRECONDITION: no")


async def test_what_does_not_parse_is_named() -> None:
    async with running_gateway() as gateway:
        answer = await gateway.get("/grpc/hi?delay=soon")
        assert answer.status == 400
        assert "delay" in json.loads(answer.body)["message"]
        async with open_websocket(gateway.port, f"{BIDIRECTIONAL}?size=1TiB") as socket:
            closed = await socket.receive()
    assert isinstance(closed, Closed)
    assert closed.code == 1011
    assert closed.reason.startswith("INVALID_ARGUMENT: ")
    assert "size" in closed.reason


async def test_other_parameters_mean_nothing_and_scripting_can_be_turned_off() -> None:
    async with running_gateway() as gateway:
        assert (await gateway.get("/grpc/hi?stat=14&x=&delay_=1")).status == 200
    async with running_gateway(ECHO_SCRIPTING="off") as gateway:
        assert (await gateway.get("/grpc/hi?status=14")).status == 200
        assert (await gateway.get("/grpc/hi?delay=soon")).status == 200


async def test_both_ends_tell_what_they_saw_of_a_request() -> None:
    async with running_gateway() as gateway:
        headers = {"X-Note": "a", "Authorization": "Bearer secret", "Grpc-Timeout": "10S"}
        answer = await gateway.get("/grpc/hi?call-id=one", headers)
        told = await evidence(gateway, "one")
        assert told["gateway"]["instance"] == answer.headers["x-echo-instance"]
    for record in told.values():
        assert (record["call_id"], record["attempt"], record["outcome"]) == ("one", 1, "completed")
        assert "secret" not in json.dumps(record)
    assert told["gateway"]["protocol"] == "HTTP/1.1"
    assert told["gateway"]["status"] == "200"
    assert {"name": "x-note", "value": "a"} in told["gateway"]["request_headers"]  # type: ignore[operator]
    assert told["server"]["protocol"] == "HTTP/2"
    assert told["server"]["method"] == "GetReply"
    assert told["server"]["deadline_left"] == pytest.approx(10, abs=0.5)


async def test_both_ends_tell_of_a_request_whose_client_left(clock: QuietClock) -> None:
    async with running_gateway() as gateway:
        async with connected(gateway.port) as stream:
            await stream.send_all(get(path="/grpc/hi?call-id=gone&delay=20s"))
            await trio.sleep(1)
        await trio.sleep(CLOSE_TIMEOUT)
        told = json.loads((await http_get_on(gateway.port, "/evidence/gone")).body)
    assert [record["outcome"] for record in told.values()] == ["cancelled", "cancelled"]
    assert told["gateway"]["cause"] == "the client left before the response was complete"


async def test_both_ends_tell_what_they_saw_of_a_websocket() -> None:
    async with running_gateway() as gateway:
        async with open_websocket(gateway.port, f"{BIDIRECTIONAL}?call-id=two") as socket:
            await socket.send(HELLO)
            await socket.receive()
            told = await evidence(gateway, "two")
            assert [record["outcome"] for record in told.values()] == ["", ""]
            assert [record["messages_in"] for record in told.values()] == [1, 1]
            await socket.close(4000)
        with trio.fail_after(20):
            while not all(record["outcome"] for record in told.values()):
                told = await evidence(gateway, "two")
    assert [record["outcome"] for record in told.values()] == ["cancelled", "cancelled"]
    assert told["gateway"]["status"] == "4000"


@pytest.mark.parametrize(
    ("message", "outcome", "status"),
    [("", "completed", "1000"), ("{}", "failed", "1011"), (None, "connection lost", "1006")],
)
async def test_the_record_of_a_websocket_says_how_it_ended(message: str | None, outcome: str, status: str) -> None:
    async with running_gateway() as gateway:
        async with open_websocket(gateway.port, f"{BIDIRECTIONAL}?call-id=ends") as socket:
            if message is not None:
                await socket.send(message)
                await socket.receive()
        told = await evidence(gateway, "ends")
        with trio.fail_after(20):
            while not told["gateway"]["outcome"]:
                told = await evidence(gateway, "ends")
    assert (told["gateway"]["outcome"], told["gateway"]["status"]) == (outcome, status)


@pytest.mark.parametrize(
    ("headers", "status", "cause"),
    [
        ({"Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA==", "X-Note": "a"}, 426, "this route takes WebSockets"),
        (
            {
                "Upgrade": "websocket",
                "Connection": "Upgrade",
                "Sec-WebSocket-Version": "13",
                "X-Note": "a",
                "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA==",
                "Origin": "http://elsewhere.example",
            },
            403,
            "the origin is not allowed",
        ),
    ],
    ids=["without-upgrade", "origin"],
)
async def test_a_handshake_that_is_refused_is_recorded(headers: dict[str, str], status: int, cause: str) -> None:
    async with running_gateway() as gateway:
        answer = await gateway.get(f"{BIDIRECTIONAL}?call-id=four", headers)
        told = await evidence(gateway, "four")
        assert (await gateway.get(f"{BIDIRECTIONAL}?call-id=no/id", headers)).status == status
    assert answer.status == status
    assert not told["server"]
    record = told["gateway"]
    assert (record["outcome"], record["status"], record["cause"]) == ("failed", str(status), cause)
    assert record["ended"]
    assert {"name": "x-note", "value": "a"} in record["request_headers"]  # type: ignore[operator]


async def test_attempts_are_all_told_and_nothing_is_404() -> None:
    async with running_gateway() as gateway:
        for _ in range(3):
            await gateway.get("/grpc/hi?call-id=three&succeed-after=2")
        told = await evidence(gateway, "three")
        assert [record["attempt"] for record in told.values()] == [3, 3]
        assert [len(record["other_attempts"]) for record in told.values()] == [2, 2]  # type: ignore[arg-type]
        assert (await gateway.get("/evidence/none")).status == 404


async def test_what_arrived_is_reported_over_both_versions() -> None:
    cookie = b64encode(b"secret").decode()
    async with running_gateway() as gateway:
        answer = await gateway.get("/request?a=%20b", {"X-Two": "1", "Cookie": cookie})
        told = json.loads(answer.body)
        assert (told["protocol"], told["method"], told["target"]) == ("HTTP/1.1", "GET", "/request?a=%20b")
        assert {"name": "x-two", "value": "1"} in told["headers"]
        assert cookie not in str(told)
        assert told["tls"] is False
        assert told["instance"] == answer.headers["x-echo-instance"]
        async with open_http2(gateway.port) as http2:
            _, body = await http2.get("/request", [("x-two", "1")])
            assert json.loads(body)["protocol"] == "HTTP/2"


@pytest.mark.parametrize("target", ["/healthz", "/readyz", "/grpc/hi", "/nowhere", "/", BIDIRECTIONAL])
async def test_every_reply_tells_the_instance(target: str) -> None:
    async with running_gateway() as gateway:
        assert (await gateway.get(target)).headers["x-echo-instance"]


async def test_records_are_kept_within_bounds() -> None:
    await trio.lowlevel.checkpoint()
    recorder = GatewayRecorder()
    for number in range(30_000):
        recorder.begin(http_scope(headers=[(b"x", b"y" * 5_000)]), f"id-{number}")
    assert len(recorder) <= 10_000
    assert not recorder.attempts("id-0")
    assert recorder.attempts("id-29999")
    for _ in range(3 * MOST_ATTEMPTS):
        recorder.begin(http_scope(headers=[]), "same")
    told = [record.as_json()["attempt"] for record in recorder.attempts("same")]
    assert told == list(range(2 * MOST_ATTEMPTS + 1, 3 * MOST_ATTEMPTS + 1))
    big = recorder.begin(http_scope(headers=[(b"x%d" % n, b"y" * 1_000) for n in range(100)]), "big")
    assert len(json.dumps(big.as_json())) < 2 * MAX_HEADERS_SIZE
