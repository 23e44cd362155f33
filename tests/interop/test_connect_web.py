"""@connectrpc/connect-web, and grpc-web, in Chromium call the gateway, from the gateway's own pages and from others."""

import base64
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import pytest

from echo.pb.com.gopay.echo.streaming import StreamResponse
from echo.rpc import Status
from echo.services import echo_services
from tests.support.browser import Browser, needs_browser, running_browser
from tests.support.connect import call_by_grpc_web, call_in_page, needs_connect
from tests.support.foreign import METADATA, SERVER_STREAM, STATUS_TEXT, UNARY
from tests.support.gateway import RunningGateway, gateway_to, running_gateway
from tests.support.leaks import settles
from tests.support.recording import PATHS, STATUS, STATUS_MESSAGE, Recorder
from tests.support.rpc_over_http import GET_REPLY, message
from tests.support.serving import LOOPBACK

pytestmark = [needs_browser, needs_connect, pytest.mark.slow]

EACH_PROTOCOL = pytest.mark.parametrize("protocol", ["connect", "grpc-web"])

ONE = {"streamId": "a", "message": "one", "sequenceNumber": "0"}


@asynccontextmanager
async def page_of(gateway: RunningGateway) -> AsyncIterator[Browser]:
    """A browser with a page of this gateway's origin."""
    async with running_browser() as browser:
        await browser.open(f"http://{LOOPBACK}:{gateway.port}/healthz")
        yield browser


@EACH_PROTOCOL
@pytest.mark.parametrize("where", ["own", "other"])
async def test_a_page_makes_every_call_that_browsers_can(protocol: str, where: str) -> None:
    services = [*echo_services().services, Recorder()]
    async with gateway_to(1) as other, page_of(other) as elsewhere:
        allowed = f"http://{LOOPBACK}:{other.port}"
        async with running_gateway(services, HTTP_ALLOWED_ORIGINS=allowed) as gateway:
            browser = elsewhere
            if where == "own":
                await browser.open(f"http://{LOOPBACK}:{gateway.port}/healthz")
            for kind, texts in ((UNARY, ["one"]), (SERVER_STREAM, ["one", "one", "one"])):
                outcome = await call_in_page(
                    browser, gateway.port, PATHS[kind], [ONE], METADATA.items(), protocol=protocol
                )
                assert (outcome.code, outcome.message, outcome.texts) == (0, "", texts)
                sent = METADATA.items()
                assert dict(outcome.initial).items() >= {pair for pair in sent if "initial" in pair[0]}
                assert dict(outcome.trailing).items() >= {pair for pair in sent if "trailing" in pair[0]}

            said: dict[str, str | bytes] = {STATUS: "9", STATUS_MESSAGE: STATUS_TEXT.encode(), "trailing-a": "b"}
            for kind in (UNARY, SERVER_STREAM):
                outcome = await call_in_page(browser, gateway.port, PATHS[kind], [ONE], said.items(), protocol=protocol)
                assert (outcome.code, outcome.message) == (Status.FAILED_PRECONDITION.value, STATUS_TEXT)
                assert ("trailing-a", "b") in outcome.trailing

            orders: list[dict[str, Any]] = [{"json": True}, {"get": True}, {"get": True, "json": True}]
            for order in orders:
                outcome = await call_in_page(
                    browser, gateway.port, GET_REPLY, [{"message": "é"}], protocol=protocol, **order
                )
                assert outcome.texts == ["from server:é"]

            watch = "/grpc.health.v1.Health/Watch"
            outcome = await call_in_page(browser, gateway.port, watch, [{}], protocol=protocol, cancel=1)
            assert outcome.replies == [{"status": "SERVING"}]
            await settles(lambda: gateway.server.calls, 0, "calls of the server")


@EACH_PROTOCOL
async def test_a_page_of_an_origin_that_is_not_allowed_can_t_call(protocol: str) -> None:
    recorder = Recorder()
    async with gateway_to(1) as other, page_of(other) as browser, running_gateway([recorder]) as gateway:
        for kind in (UNARY, SERVER_STREAM):
            outcome = await call_in_page(browser, gateway.port, PATHS[kind], [ONE], protocol=protocol)
            assert (outcome.code, outcome.message) == (Status.UNKNOWN.value, "Failed to fetch")
        outcome = await call_in_page(browser, gateway.port, GET_REPLY, [{}], protocol=protocol, get=True)
        assert outcome.code == Status.UNKNOWN.value
        assert any("403" in line or "CORS" in line for line in await browser.said())
        await settles(lambda: gateway.server.calls, 0, "calls of the server")


@pytest.mark.parametrize("format_", ["text", "binary"])
async def test_grpc_web_calls_in_both_of_its_formats(format_: str) -> None:
    async with gateway_to(1) as other, page_of(other) as browser:
        allowed = f"http://{LOOPBACK}:{other.port}"
        async with running_gateway([Recorder()], HTTP_ALLOWED_ORIGINS=allowed) as gateway:
            for stream in (False, True) if format_ == "text" else (False,):
                path = PATHS[SERVER_STREAM if stream else UNARY]
                call = partial(
                    call_by_grpc_web, browser, gateway.port, path, message("é"), format=format_, stream=stream
                )
                outcome = await call([("initial-text", "a"), ("trailing-text", "b")])
                assert (outcome.code, outcome.message) == (0, "")
                replies = [StreamResponse.FromString(base64.b64decode(reply)) for reply in outcome.replies]
                assert [reply.response for reply in replies] == (3 if stream else 1) * ["é"]
                assert ("initial-text", "a") in outcome.initial
                assert ("trailing-text", "b") in outcome.trailing
                outcome = await call([(STATUS, "9"), (STATUS_MESSAGE, b"no 100%")])
                assert (outcome.code, outcome.message) == (9, "no 100%")
