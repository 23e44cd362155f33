"""One trace from a real browser through its WebSocket and the gateway to the handler."""

import re

import pytest

from echo.rpc import Server
from echo.services import echo_services
from tests.support.browser import console, needs_browser
from tests.support.collector import Collector
from tests.support.gateway import gateway_to
from tests.support.serving import serving

pytestmark = [needs_browser, pytest.mark.usefixtures("nothing_left")]


async def test_a_trace_begins_at_the_page_and_ends_at_the_handler() -> None:
    collector = Collector()
    async with collector.tracing() as tracing:
        server = Server(echo_services().services, tracing=tracing.server)
        async with (
            serving(server) as port,
            gateway_to(port, server, tracing.gateway) as gateway,
            console(gateway.port) as page,
        ):
            await page.click("#connect")
            await page.shows("#headline", "^Connected$")
            await page.fill("#message", "hi")
            await page.click("#send")
            await page.shows("#n-received", "^1$")
            await page.click("#half-close")
            await page.shows("#headline", "^1000 normal closure$")
            sent = re.findall(r"traceparent=00-(\w{32})-(\w{16})-01", " ".join(await page.asked()))
    ((trace, span),) = set(sent)
    socket, call = collector.one("server", "/ws/stream/bidirectional"), collector.one("client", "Bidirectional")
    handler = collector.one("server", "StreamingServer/")
    assert {found.trace for found in (socket, call, handler)} == {trace}
    assert [socket.parent, call.parent, handler.parent] == [span, socket.id, call.id]
    assert str(socket.attributes["user_agent.original"]).startswith("Mozilla/5.0")
    for found in (socket, call, handler):
        assert "half-close" in found.events
        assert not found.failed
