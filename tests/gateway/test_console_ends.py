"""The console in a real browser: how a socket ended, in words, and what the page does about it."""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trio

from echo.services import echo_services
from tests.support.browser import GOING_AWAY, console, needs_browser
from tests.support.gateway import gateway_to, running_gateway
from tests.support.relay import relaying
from tests.support.serving import LOOPBACK

pytestmark = [needs_browser, pytest.mark.usefixtures("nothing_left")]


async def test_a_call_that_fails_shows_1011_and_what_the_server_said() -> None:
    async with running_gateway() as gateway, console(gateway.port) as page:
        await page.fill("#stream-id", "")
        await page.click("#send")
        await page.shows("#headline", "^1011 the call failed$")
        await page.shows("#explanation", "INVALID_ARGUMENT: .*does not accept.*“stream_id is required”")
        await page.shows("#log .event", "closed 1011: INVALID_ARGUMENT: stream_id is required")
        assert await page.text("#n-unanswered") == "1"


async def test_a_server_that_cannot_be_reached_is_told_from_a_gateway_that_cannot() -> None:
    async with gateway_to(1) as gateway, console(gateway.port, noise=GOING_AWAY) as page:
        await page.click("#send")
        await page.shows("#headline", "^1011 ")
        await page.shows("#explanation", "The gateway is there, but the gRPC server behind it can't be reached")
        await page.shows("#readiness-text", "^Not ready$")
        await page.shows("#readiness-reason", "/readyz: UNAVAILABLE: cannot connect")
        gateway.stop.set()
        await gateway.stopped.wait()
        await page.click("#connect")
        await page.shows("#headline", "^1006 could not connect$")
        await page.shows("#explanation", "never opened. The gateway can't be reached: plain HTTP .* gets no answer")
        await page.click("#readiness")
        await page.shows("#readiness-reason", "the gateway does not answer")


async def test_a_gateway_that_goes_away_shows_1001_and_the_page_comes_back_by_itself() -> None:
    services = echo_services()
    async with (
        running_gateway(services.services) as gateway,
        relaying(gateway.port) as line,
        console(line.port, state="#reconnect=1", noise=GOING_AWAY) as page,
    ):
        await page.click("#send")
        await page.shows("#n-received", "^1$")
        line.reset()
        await page.shows("#log .event", "^.*closed 1006")
        await page.shows("#n-reconnects", "^1$")
        await page.shows("#headline", "^Connected$")
        await page.check("#reconnect", on=False)
        gateway.stop.set()
        await page.shows("#headline", "^1001 going away$")
        await page.shows("#explanation", "The gateway is shutting down")


async def test_a_broken_line_is_told_from_a_close() -> None:
    async with (
        running_gateway() as gateway,
        relaying(gateway.port) as line,
        console(line.port, noise=["ERR_"]) as page,
    ):
        await page.click("#send")
        await page.shows("#n-received", "^1$")
        line.reset()
        await page.shows("#headline", "^1006 abnormal closure$")
        await page.shows("#explanation", "without a close frame. Something in between cut it")


async def test_a_message_over_the_limit_shows_1009() -> None:
    async with (
        running_gateway(GRPC_MAX_MESSAGE_SIZE="1KiB") as gateway,
        console(gateway.port, state="#count=1&size=100000") as page,
    ):
        await page.click("#burst")
        await page.shows("#headline", "^1009 message too big$")
        await page.shows("#explanation", "GRPC_MAX_MESSAGE_SIZE")


async def test_the_page_closes_with_a_code_or_just_leaves() -> None:
    async with running_gateway() as gateway, console(gateway.port) as page:
        await page.click("#connect")
        await page.shows("#headline", "^Connected$")
        for code in ("1001", "1e3", "5000", ""):
            await page.fill("#close-code", code)
            await page.click("#close")
            await page.shows("#connection-problem", "^A page may close with code 1000, or 3000 to 4999;")
            assert await page.evaluate("document.activeElement.id") == "close-code"
            assert await page.evaluate("document.querySelector('#close-code').ariaInvalid") == "true"
        assert await page.text("#headline") == "Connected"
        await page.fill("#close-code", "4321")
        # Corrected, it is not called wrong any more.
        assert await page.evaluate("document.querySelectorAll('[aria-invalid]').length") == 0
        assert await page.evaluate("document.querySelector('#connection-problem').hidden") is True
        await page.click("#close")
        await page.shows("#headline", "^4321 private code$")
        await page.click("#connect")
        await page.shows("#headline", "^Connected$")
        await page.click("#leave")
        # There was no code, and nobody knows whether the other side agreed.
        await page.shows("#headline", "^Left without waiting$")
        await page.shows("#explanation", "did not wait for the answer")
        await page.shows("#log .event:first-child", "left without waiting$")
        with trio.fail_after(20):
            while gateway.server.calls:  # The server's handlers hear of either.
                await trio.testing.wait_all_tasks_blocked(0.01)


@asynccontextmanager
async def replacing(old: bytes, new: bytes, target: int) -> AsyncIterator[int]:
    """A proxy that changes requests on the way; gives its port."""

    async def carry(client: trio.SocketStream) -> None:
        async with client, await trio.open_tcp_stream(LOOPBACK, target) as server, trio.open_nursery() as pumps:
            pumps.start_soon(pump, client, server, pumps.cancel_scope)
            pumps.start_soon(pump, server, client, pumps.cancel_scope)

    async def pump(source: trio.SocketStream, sink: trio.SocketStream, line: trio.CancelScope) -> None:
        try:
            async for data in source:
                await sink.send_all(re.sub(old, new, data))
        except trio.BrokenResourceError:
            pass
        line.cancel()

    (listener,) = await trio.open_tcp_listeners(0, host=LOOPBACK)
    async with trio.open_nursery() as nursery:
        await nursery.start(trio.serve_listeners, carry, [listener])
        yield listener.socket.getsockname()[1]
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        (
            rb"Upgrade: websocket\r\n",
            b"",
            "Most likely the path removed the Upgrade header: .*proxy_set_header Upgrade",
        ),
        (rb" HTTP/1\.1\r\n", b" HTTP/1.0\r\n", "The path removed the Upgrade header: .* as HTTP/1.0"),
        (
            rb"Host: [^\r]+",
            b"Host: backends",
            "refuses this page's origin, .* own origin is http://backends, .* Have the proxy pass the Host header on",
        ),
        (
            rb"Host: ",
            b"X-Forwarded-Proto: https\r\nHost: ",
            "refuses this page's origin, .* own origin is https://127.* Have the proxy send X-Forwarded-Proto: http,",
        ),
    ],
    ids=["upgrade", "http-1.0", "host", "scheme"],
)
async def test_what_a_proxy_did_to_the_handshake_is_found_out(old: bytes, new: bytes, why: str) -> None:
    async with (
        running_gateway() as gateway,
        replacing(old, new, gateway.port) as port,
        console(port, noise=["426", "WebSocket connection to"]) as page,
    ):
        await page.shows("#readiness-text", "^Ready$")
        await page.click("#connect")
        await page.shows("#headline", "^1006 could not connect$")
        await page.shows("#explanation", why)
        await page.shows("#log .event:first-child", why)
