"""One trace from the client through the gateway to the handler, for requests and for WebSockets."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trio
import trio.testing
from multidict import MultiDict

from echo.logs import open_access_log
from echo.rpc import Server
from echo.services import echo_services
from tests.gateway.scopes import http_scope
from tests.support.collector import NOT_SAMPLED, SAMPLED, SPAN, TRACE, Collector, Seen
from tests.support.gateway import RunningGateway, gateway_to, http_get_on
from tests.support.serving import serving
from tests.support.streams import HELLO
from tests.support.websocket import Closed, Rejected, open_websocket

pytestmark = pytest.mark.usefixtures("nothing_left")

GET_REPLY = "com.gopay.echo.Server/GetReply"
STREAM = "/ws/stream/bidirectional"


@asynccontextmanager
async def traced(**variables: str) -> AsyncIterator[tuple[RunningGateway, Collector]]:
    """A gateway and its server, both traced into one collector."""
    collector = Collector()
    async with collector.tracing(**variables) as tracing:
        server = Server(echo_services().services, tracing=tracing.server)
        async with serving(server) as port, gateway_to(port, server, tracing.gateway) as gateway:
            yield gateway, collector


def chain(collector: Collector) -> tuple[Seen, Seen, Seen]:
    """The spans of gateway, call and handler, which are one trace."""
    call = collector.one("client")
    (served,) = [span for span in collector.spans if span.parent == call.id]
    arrival = next(span for span in collector.spans if span.id == call.parent)
    assert len(collector.spans) == 3
    assert {span.trace for span in collector.spans} == {arrival.trace}
    return arrival, call, served


async def test_a_request_and_its_call_are_one_trace() -> None:
    async with traced() as (gateway, collector):
        answer = await gateway.get("/grpc/hi%20there?x=1", {"traceparent": SAMPLED, "user-agent": "curl/8"})
        await gateway.get("/healthz")
        await gateway.get("/readyz")
    request, call, served = chain(collector)
    assert answer.status == 200
    assert (request.trace, request.parent) == (TRACE, SPAN)
    assert (request.name, request.kind) == ("GET /grpc/{key}", "server")
    assert (call.name, served.name) == (GET_REPLY, GET_REPLY)
    assert request.attributes == {
        "http.request.method": "GET",
        "http.route": "/grpc/{key}",
        "http.response.status_code": 200,
        "url.scheme": "http",
        "url.path": "/grpc/hi%20there",
        "network.protocol.version": "1.1",
        "client.address": "127.0.0.1",
        "server.address": "127.0.0.1",
        "server.port": gateway.port,
        "user_agent.original": "curl/8",
    }
    assert not request.failed


async def test_a_tracestate_in_several_headers_is_kept_whole() -> None:
    async with traced() as (gateway, collector):
        headers = MultiDict([("traceparent", SAMPLED), ("tracestate", "a=1"), ("tracestate", "b=2")])
        assert (await http_get_on(gateway.port, "/grpc/hi", headers)).status == 200
    assert [seen.span.trace_state for seen in chain(collector)] == ["a=1,b=2"] * 3


@pytest.mark.parametrize(
    ("host", "address", "port"),
    [
        ("a.example", "a.example", None),
        ("a.example:8", "a.example", 8),
        ("[::1]:8", "::1", 8),
        ("a:b:8", "a:b:8", None),
    ],
)
async def test_a_request_s_server_is_the_host_that_it_names(host: str, address: str, port: int | None) -> None:
    async with traced() as (gateway, collector):
        await gateway.get("/grpc/hi", {"host": host})
    request, *_ = chain(collector)
    assert (request.attributes["server.address"], request.attributes.get("server.port")) == (address, port)


async def test_a_websocket_and_its_call_are_one_trace_until_it_closes() -> None:
    async with (
        traced() as (gateway, collector),
        open_websocket(gateway.port, STREAM, [("traceparent", SAMPLED)]) as socket,
    ):
        for _ in range(2):
            await socket.send(HELLO)
            await socket.receive()
        await socket.send("")
        assert await socket.receive() == Closed(1000, "")
    arrival, call, served = chain(collector)
    assert (arrival.trace, arrival.parent, arrival.name) == (TRACE, SPAN, f"GET {STREAM}")
    for span, received, sent in ((arrival, 3, 2), (call, 2, 2), (served, 2, 2)):  # A half-close is a message, too.
        assert span.attributes["echo.messages.received"] == received
        assert span.attributes["echo.messages.sent"] == sent
    assert arrival.attributes["http.response.status_code"] == 101
    assert arrival.attributes["echo.websocket.close_code"] == 1000
    assert arrival.events == ["half-close"]
    assert call.events == ["response began", "half-close"]
    assert served.events == ["first message received", "first message sent", "half-close"]


async def test_the_url_of_a_websocket_may_hold_what_a_browser_cannot_say_in_headers() -> None:
    target = f"{STREAM}?traceparent={SAMPLED}&tracestate=a%3D1"
    async with traced() as (gateway, collector), open_websocket(gateway.port, target) as socket:
        await socket.send("")
        await socket.receive()
    arrival, _, served = chain(collector)
    assert (arrival.trace, arrival.parent) == (TRACE, SPAN)
    assert served.span.trace_state == "a=1"


@pytest.mark.parametrize("query", ["traceparent=nonsense", f"traceparent={SAMPLED.upper()}", "tracestate=a", "x=trace"])
async def test_what_is_no_context_begins_a_trace(query: str) -> None:
    async with traced() as (gateway, collector), open_websocket(gateway.port, f"{STREAM}?{query}") as socket:
        await socket.send("")
        await socket.receive()
    arrival, *_ = chain(collector)
    assert arrival.parent == ""


async def test_a_client_that_leaves_is_a_cancel_at_the_call_and_at_the_handler() -> None:
    async with traced() as (gateway, collector):
        async with open_websocket(gateway.port, STREAM) as socket:
            await socket.send(HELLO)
            await socket.receive()
            await socket.close(1001)
        with trio.fail_after(20):
            while gateway.server.calls:  # Cancelled by the client, before the gateway's end does it.
                await trio.testing.wait_all_tasks_blocked(0.01)
    arrival, call, served = chain(collector)
    assert arrival.attributes["echo.websocket.close_code"] == 1001
    assert call.events[-1] == "cancel: the call was cancelled by its caller"
    assert served.events[-1] == "cancel: cancelled: the call was reset (CANCEL)"


async def test_a_drain_is_seen_in_what_goes_on() -> None:
    async with traced() as (gateway, collector):
        async with open_websocket(gateway.port, STREAM) as socket:
            await socket.send(HELLO)
            await socket.receive()
            gateway.stop.set()
            assert await socket.receive() == Closed(1001, "going away")
        await gateway.stopped.wait()
    arrival, call, _ = chain(collector)
    assert arrival.events == ["drain"]
    assert arrival.attributes["echo.websocket.close_code"] == 1001
    assert call.events[-1].startswith("cancel: ")


async def test_failures_are_errors_at_every_span() -> None:
    async with traced() as (gateway, collector):
        assert (await gateway.get("/grpc/hi?status=14:try+later")).status == 503
    request, call, served = chain(collector)
    assert (request.failed, call.failed, served.failed) == (True, True, True)
    assert request.attributes["error.type"] == "503"
    assert call.span.status.message == "try later"


async def test_a_websocket_whose_call_fails_is_an_error() -> None:
    target = f"{STREAM}?status=14:try+later&after=0"
    async with traced() as (gateway, collector), open_websocket(gateway.port, target) as socket:
        assert await socket.receive() == Closed(1011, "UNAVAILABLE: try later")
    arrival, *_ = chain(collector)
    assert (arrival.failed, arrival.attributes["error.type"]) == (True, "1011")
    assert arrival.span.status.message == "UNAVAILABLE: try later"


async def test_a_response_that_was_cut_off_is_an_error_with_its_status() -> None:
    collector = Collector()
    async with collector.tracing() as tracing:
        request = tracing.gateway.begin(http_scope(), ())
        assert request is not None
        request.responded(200, "cut off")
    arrival = collector.one("server")
    assert arrival.failed
    assert arrival.attributes["error.type"] == "incomplete"
    assert arrival.attributes["http.response.status_code"] == 200


async def test_answers_are_no_failures_of_the_gateway_s_nor_of_the_server_s() -> None:
    async with traced() as (gateway, collector):
        assert (await gateway.get("/grpc/hi?status=5:none")).status == 404
    request, call, served = chain(collector)
    assert (request.failed, call.failed, served.failed) == (False, True, False)


async def test_a_call_by_connect_is_one_trace_too() -> None:
    async with traced() as (gateway, collector):
        target = f"/{GET_REPLY}?connect=v1&encoding=json&message=%7B%22message%22%3A%22hi%22%7D"
        assert (await gateway.get(target, {"traceparent": SAMPLED})).status == 200
    request, *_ = chain(collector)
    assert (request.trace, request.name) == (TRACE, f"GET /{GET_REPLY}")


async def test_a_refused_handshake_and_an_unknown_path_are_spans() -> None:
    async with traced() as (gateway, collector):
        with pytest.raises(Rejected):
            async with open_websocket(gateway.port, STREAM, [("origin", "http://evil.test")]):
                pass
        await gateway.get("/nowhere", method="PURGE")
    refused, unknown = collector.spans
    assert (refused.name, refused.attributes["http.response.status_code"]) == (f"GET {STREAM}", 403)
    assert "echo.websocket.close_code" not in refused.attributes
    assert (unknown.name, unknown.attributes["http.request.method_original"]) == ("HTTP", "PURGE")


async def passed_on(gateway: RunningGateway, traceparent: str | None) -> str | None:
    """What the server learns of the trace."""
    answer = await gateway.get("/grpc/hi?report=true", {} if traceparent is None else {"traceparent": traceparent})
    report = json.loads(answer.headers["grpc-trailer-x-echo-report"])
    return next((one["value"] for one in report["request_headers"] if one["name"] == "traceparent"), None)


async def test_without_tracing_the_context_is_passed_on_as_it_came() -> None:
    server = Server(echo_services().services)
    async with serving(server) as port, gateway_to(port, server) as gateway:
        for traceparent in (SAMPLED, NOT_SAMPLED, None):
            assert await passed_on(gateway, traceparent) == traceparent


async def test_a_trace_that_is_not_recorded_is_passed_on_as_such(monkeypatch: pytest.MonkeyPatch) -> None:
    async with traced() as (gateway, collector):
        assert await passed_on(gateway, NOT_SAMPLED) == NOT_SAMPLED
    assert collector.spans == []
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", "always_off")
    async with traced(OTEL_TRACES_SAMPLER="always_off") as (gateway, collector):
        changed, begun = await passed_on(gateway, SAMPLED), await passed_on(gateway, None)
    assert changed is not None
    assert begun is not None
    assert changed[:36] == SAMPLED[:36]
    assert (changed[-3:], begun[-3:]) == ("-00", "-00")
    assert collector.spans == []


async def test_the_access_log_of_both_tells_the_ids(capsys: pytest.CaptureFixture[str]) -> None:
    collector = Collector()
    async with collector.tracing() as tracing:
        log = open_access_log(wanted=True, log_format="json")
        server = Server(echo_services().services, tracing=tracing.server, access_log=log)
        async with (
            serving(server) as port,
            gateway_to(port, server, tracing.gateway, LOG_FORMAT="json") as gateway,
        ):
            await gateway.get("/grpc/hi")
            async with open_websocket(gateway.port, STREAM) as socket:
                await socket.send("")
                await socket.receive()
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    told = {(line["trace_id"], line["span_id"]) for line in lines if line["logger"] == "echo.access"}
    assert told == {(span.trace, span.id) for span in collector.spans if span.kind == "server"}
    assert len(told) == 4
