"""The HTTP routes over real sockets: every row of the contract's table, and every status."""

import re

import pytest
import trio
import trio.testing
from grpclib.const import Cardinality, Handler

from echo.contract import HTTP_STATUS
from echo.gateway.hypercorn_compat.timing import HALF_CLOSED_PATIENCE
from echo.pb.com.gopay.echo import Message, Response, ServerBase
from echo.rpc import GRPCError, ServerStream, Status
from echo.services import echo_services
from tests.gateway.hypercorn_compat.clients import connected, get, heard
from tests.support.gateway import gateway_to, http_get_on, running_gateway
from tests.support.quiet_clock import QuietClock

UUID4 = "[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}"


class Scripted(ServerBase):
    """``GetReply`` as the test wants it."""

    def __init__(self) -> None:
        self.metadata: dict[str, str | bytes] = {}
        self.started = trio.Event()
        self.cancelled = trio.Event()

    def __mapping__(self) -> dict[str, Handler]:
        path = "/com.gopay.echo.Server/GetReply"
        return {path: Handler(self.serve, Cardinality.UNARY_UNARY, Message, Response)}

    async def serve(self, stream: ServerStream[Message, Response]) -> None:
        assert stream.metadata is not None
        self.metadata = dict(stream.metadata)
        request = await stream.recv_message()
        assert request is not None
        if request.message == "hang":
            try:
                self.started.set()
                await trio.sleep_forever()
            finally:
                self.cancelled.set()
        if request.message.startswith("metadata"):
            initial: list[tuple[str, str | bytes]] = [("first", "1"), ("raw-bin", b"\x00\xff")]
            await stream.send_initial_metadata(metadata=initial)
            if request.message == "metadata":
                await stream.send_message(Response(success=True))
            status = Status.OK if request.message == "metadata" else Status.ABORTED
            await stream.send_trailing_metadata(status=status, metadata={"last": "2"})
            return
        if request.message in Status.__members__:
            raise GRPCError(Status[request.message], 'said "so"')
        await stream.send_message(Response(success=request.message != "no", response=f"said {request.message}"))


pytestmark = pytest.mark.usefixtures("nothing_left")


@pytest.mark.parametrize(
    ("target", "key"),
    [
        ("hi", "hi"),
        ("a/b/c", "a/b/c"),
        ("a%2Fb", "a/b"),
        ("a%252Fb", "a%2Fb"),
        ("%E2%9C%93", "✓"),
        ("a//b/", "a//b/"),
        ("/a", "/a"),
        ("a%0Ab%00c", "a\nb\0c"),
        ("a+b%20c", "a+b c"),
        ("..%2f../x", "../../x"),
        ("a?query=x", "a"),
        ("a%3Fb%23c", "a?b#c"),
    ],
)
async def test_the_unary_call_takes_any_key(target: str, key: str) -> None:
    async with running_gateway() as gateway:
        answer = await gateway.get(f"/grpc/{target}")
    assert answer.status == 200
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    assert re.fullmatch(f"{UUID4}:from server:{re.escape(key)}:success:true", answer.body.decode())


async def test_a_key_that_is_no_utf_8_is_refused() -> None:
    async with running_gateway() as gateway:
        answer = await gateway.get("/grpc/%ff")
    assert answer.status == 400
    assert answer.body.startswith(b'{"code":3,"status":"INVALID_ARGUMENT","message":"')


async def test_an_answer_without_success_says_so() -> None:
    async with running_gateway([Scripted()]) as gateway:
        assert (await gateway.get("/grpc/no")).body.endswith(b":said no:success:false")


async def test_every_status_has_its_code_and_body() -> None:
    async with running_gateway([Scripted()]) as gateway:
        for status in Status:
            if status is not Status.OK:
                answer = await gateway.get(f"/grpc/{status.name}")
                assert answer.status == HTTP_STATUS[status]
                assert answer.headers["content-type"] == "application/json"
                expected = f'{{"code":{status.value},"status":"{status.name}","message":"said \\"so\\""}}'
                assert answer.body.decode() == expected


async def test_health_needs_no_backend_and_readiness_does() -> None:
    async with gateway_to(1) as gateway:
        healthy = await gateway.get("/healthz")
        assert (healthy.status, healthy.body) == (200, b"Hello!")
        ready = await gateway.get("/readyz")
        assert ready.status == 503
        assert b"UNAVAILABLE: cannot connect to 127.0.0.1:1: Connection refused" in ready.body
        call = await gateway.get("/grpc/hi")
        assert call.status == 503
        assert call.body.startswith(b'{"code":14,"status":"UNAVAILABLE","message":"cannot connect to 127.0.0.1:1')


async def test_readiness_follows_the_backend_s_health() -> None:
    services = echo_services()
    async with running_gateway(services.services) as gateway:
        answer = await gateway.get("/readyz")
        assert (answer.status, answer.body) == (200, b"Hello!")
        services.health.drain()
        answer = await gateway.get("/readyz")
        assert answer.status == 503
        assert answer.body == b"the backend is NOT_SERVING"


async def test_the_deadline_of_the_settings_and_that_of_the_request(clock: QuietClock) -> None:
    service = Scripted()
    async with running_gateway([service], GRPC_CLIENT_TIMEOUT="7s") as gateway:
        for headers, seconds in (({}, 7), ({"Grpc-Timeout": "500m"}, 0.5), ({"Grpc-Timeout": "2M"}, 120)):
            called_at = trio.current_time()
            answer = await http_get_on(gateway.port, "/grpc/hang", headers)
            assert answer.status == 504
            assert answer.body == b'{"code":4,"status":"DEADLINE_EXCEEDED","message":"the deadline passed"}'
            assert seconds <= trio.current_time() - called_at < seconds + 0.5
            await service.cancelled.wait()


@pytest.mark.parametrize("malformed", ["soon", "-1S", "1.5S", "", "1", "123456789S"])
async def test_a_malformed_deadline_is_refused(malformed: str) -> None:
    async with running_gateway([Scripted()]) as gateway:
        answer = await gateway.get("/grpc/hi", {"Grpc-Timeout": malformed})
        assert answer.status == 400
        assert answer.body.startswith(b'{"code":3,"status":"INVALID_ARGUMENT","message":"Grpc-Timeout: ')


async def test_a_client_that_leaves_cancels_the_call() -> None:
    service = Scripted()
    async with running_gateway([service]) as gateway:
        async with await trio.open_tcp_stream("127.0.0.1", gateway.port) as stream:
            await stream.send_all(b"GET /grpc/hang HTTP/1.1\r\nHost: x\r\n\r\n")
            with trio.fail_after(20):
                await service.started.wait()
        with trio.fail_after(20):
            await service.cancelled.wait()


@pytest.mark.parametrize(
    ("requests", "answers"),
    [
        pytest.param(get(path="/healthz"), [b"Hello!"], id="one"),
        pytest.param(get(path="/grpc/hi"), [b"said hi"], id="one that is passed on"),
        pytest.param(get(path="/grpc/hi") + get(path="/grpc/you"), [b"said hi", b"said you"], id="two"),
        pytest.param(get(path="/grpc/hi", version="1.0"), [b"said hi"], id="HTTP/1.0"),
    ],
)
async def test_a_client_that_has_ended_its_side_gets_its_answers(
    requests: bytes, answers: list[bytes], clock: QuietClock
) -> None:
    async with running_gateway([Scripted()]) as gateway, connected(gateway.port) as stream:
        await stream.send_all(requests)
        await stream.send_eof()
        data, closed = await heard(stream)
        assert data.count(b" 200 ") == len(answers)
        assert all(answer in data for answer in answers)
        assert closed
        assert trio.current_time() < HALF_CLOSED_PATIENCE


async def test_a_client_that_has_ended_its_side_may_have_left_and_is_not_waited_for(clock: QuietClock) -> None:
    service = Scripted()
    async with running_gateway([service]) as gateway, connected(gateway.port) as stream:
        await stream.send_all(get(path="/grpc/hang"))
        await stream.send_eof()
        with trio.fail_after(60):
            await service.cancelled.wait()
        assert HALF_CLOSED_PATIENCE <= trio.current_time() < HALF_CLOSED_PATIENCE + 1


async def test_metadata_passes_and_the_request_id_comes_back() -> None:
    service = Scripted()
    async with running_gateway([service]) as gateway:
        answer = await gateway.get(
            "/grpc/hi",
            {
                "Authorization": "Bearer x",
                "X-Request-Id": "mine",
                "Grpc-Metadata-Tenant": "t",
                "Grpc-Metadata-Raw-Bin": "AP8=",
                "X-Forwarded-For": "1.1.1.1",
                "Cookie": "secret",
            },
        )
        assert answer.headers["x-request-id"] == "mine"
        assert service.metadata == {
            "authorization": "Bearer x",
            "x-request-id": "mine",
            "tenant": "t",
            "raw-bin": b"\x00\xff",
            "x-forwarded-for": "1.1.1.1, 127.0.0.1",
        }
        answer = await gateway.get("/grpc/ABORTED")
        assert answer.headers["x-request-id"] == service.metadata["x-request-id"]


async def test_metadata_of_the_answer_comes_back_also_with_an_error() -> None:
    async with running_gateway([Scripted()]) as gateway:
        for key, status in (("metadata", 200), ("metadata-and-abort", 409)):
            answer = await gateway.get(f"/grpc/{key}")
            assert answer.status == status
            assert answer.headers["grpc-metadata-first"] == "1"
            assert answer.headers["grpc-metadata-raw-bin"] == "AP8"
            assert answer.headers["grpc-trailer-last"] == "2"


@pytest.mark.parametrize("target", ["/grpc", "/grpc/", "/grpc%2Fa", "/nothing", "/ws/stream/nothing"])
async def test_other_targets_are_not_found(target: str) -> None:
    async with running_gateway() as gateway:
        answer = await gateway.get(target)
    assert answer.status == 404
    assert answer.headers["content-type"] == "application/json"
    assert answer.body == b'{"code":5,"status":"NOT_FOUND","message":"Not Found"}'
    assert len(answer.headers["x-request-id"]) == 36


async def test_other_methods_are_not_allowed() -> None:
    async with running_gateway() as gateway:
        answer = await gateway.get("/grpc/hi", method="POST")
    assert answer.status == 405
    assert answer.body == b'{"code":12,"status":"UNIMPLEMENTED","message":"Method Not Allowed"}'
    assert set(answer.headers["allow"].split(", ")) == {"GET", "HEAD", "OPTIONS"}


async def test_a_websocket_s_route_asked_for_without_an_upgrade_says_what_it_wants() -> None:
    async with running_gateway() as gateway:
        answer = await gateway.get("/ws/stream/client")
    assert (answer.status, answer.headers["upgrade"]) == (426, "websocket")
    assert answer.headers["content-type"] == "application/json"
    assert answer.body.startswith(
        b'{"code":9,"status":"FAILED_PRECONDITION","message":"this route takes WebSockets","arrived":{'
    )


async def test_a_fault_of_the_gateway_s_own_says_nothing_of_it(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("secret")

    monkeypatch.setattr("echo.gateway.routes.key_of", fail)
    async with running_gateway() as gateway:
        answer = await gateway.get("/grpc/hi")
    assert (answer.status, answer.body) == (500, b'{"code":13,"status":"INTERNAL","message":"the gateway failed"}')
    assert "secret" in caplog.text


@pytest.mark.parametrize("host", ["x" * 64, "a..b", ".", "-", "[", "xn--", "a" * 300 + ".test", "\x80"])
@pytest.mark.parametrize("target", ["/grpc/hi", "/ws/stream/client", "/nowhere"])
async def test_an_invalid_host_is_no_fault(host: str, target: str, caplog: pytest.LogCaptureFixture) -> None:
    async with running_gateway() as gateway:
        answer = await gateway.get(target, {"Host": host})
    assert answer.status in {200, 400, 404, 426}
    assert not [record for record in caplog.records if record.levelname == "ERROR"]


@pytest.mark.parametrize("target", ["?a=b", "?", "http://x?a"])
async def test_a_target_without_a_path_is_not_found(target: str, caplog: pytest.LogCaptureFixture) -> None:
    async with running_gateway() as gateway:
        answer = await gateway.get(target)
    assert answer.status in {200, 404}
    assert not [record for record in caplog.records if record.levelname == "ERROR"]
