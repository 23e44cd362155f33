"""The console behind nginx: below a path that is taken off, over TLS, and where nginx is not set up for WebSockets."""

from pathlib import Path

import pytest

from tests.support.browser import GOING_AWAY, Browser, console, needs_browser
from tests.support.gateway import running_gateway
from tests.support.page_checks import NOISE, checks_in, page_report
from tests.support.proxies import installed, proxied
from tests.support.proxy_configs import Front
from tests.support.serving import LOOPBACK
from tests.support.tls import Certificates

pytestmark = [
    needs_browser,
    pytest.mark.third_party(lambda: installed("nginx"), reason="nginx is not installed"),
    pytest.mark.usefixtures("nothing_left"),
]

UPGRADE = """
    proxy_http_version 1.1;
    proxy_set_header Upgrade $http_upgrade;
    proxy_set_header Connection $connection_upgrade;
    proxy_set_header Host $http_host;
"""
NAMED = "proxy_set_header X-Forwarded-Prefix /echo;"
TLS = "proxy_set_header X-Forwarded-Proto $scheme;"


def taken_off(more: str = "") -> str:
    """The path's prefix is taken off; nginx itself redirects to it from the address without the slash."""
    return f"location /echo/ {{ proxy_pass http://backends/; {UPGRADE} {more} }}"


def rewritten(more: str = "") -> str:
    """As ingress controllers do it: the address without the slash is the page's too."""
    return f"location /echo {{ rewrite ^/echo/?(.*)$ /$1 break; proxy_pass http://backends; {UPGRADE} {more} }}"


async def works(page: Browser, socket: str) -> None:
    """The page has all its parts and routes, and the socket is where it should be."""
    await page.shows("#readiness-text", "^Ready$")
    await page.click("#send")
    await page.shows("#log .received .short", "from server: hi$")
    await page.click("#call")
    await page.shows("#unary-result .status", "^200")
    assert socket in [address.partition("?")[0] for address in await page.asked()]  # There its trace stands.
    assert await page.evaluate("getComputedStyle(document.querySelector('.unstyled')).display") == "none"


@pytest.mark.parametrize(
    ("locations", "path"),
    [
        (taken_off(), "/echo/"),
        (taken_off(), "/echo"),
        (taken_off(NAMED), "/echo/"),
        (taken_off(NAMED), "/echo"),
        (rewritten(), "/echo/"),
        (rewritten(NAMED), "/echo/"),
        (rewritten(NAMED), "/echo"),
    ],
    ids=[
        "plain",
        "plain-no-slash",
        "named",
        "named-no-slash",
        "rewritten",
        "rewritten-named",
        "rewritten-named-no-slash",
    ],
)
async def test_the_page_works_below_a_path(locations: str, path: str, tmp_path: Path) -> None:
    async with running_gateway() as gateway:
        front = Front((gateway.port,), websockets=True, locations=locations)
        async with proxied("nginx", front, tmp_path) as proxy, console(proxy.port, path=path) as page:
            await works(page, f"ws://{LOOPBACK}:{proxy.port}/echo/ws/stream/bidirectional")


async def test_without_slash_and_prefix_the_page_says_what_it_lacks(tmp_path: Path) -> None:
    async with running_gateway() as gateway:
        front = Front((gateway.port,), websockets=True, locations=rewritten())
        async with (
            proxied("nginx", front, tmp_path) as proxy,
            console(proxy.port, path="/echo", noise=["404", "MIME type"]) as page,
        ):
            await page.shows(".unstyled", "open it with a slash at the end")
            assert await page.evaluate("document.querySelector('.unstyled').getClientRects().length") == 1


async def test_behind_tls_the_socket_is_secure_too(tmp_path: Path) -> None:
    certificates = Certificates(tmp_path)
    async with running_gateway() as gateway:
        front = Front((gateway.port,), websockets=True, shows=certificates.server, locations=taken_off(TLS))
        async with (
            proxied("nginx", front, tmp_path) as proxy,
            console(proxy.port, path="/echo/", scheme="https", ignoreHTTPSErrors=True) as page,
        ):
            await works(page, f"wss://{LOOPBACK}:{proxy.port}/echo/ws/stream/bidirectional")


async def test_what_nginx_does_unless_told_is_found_out(tmp_path: Path) -> None:
    locations = "location /echo/ { proxy_pass http://backends/; }"
    async with running_gateway() as gateway:
        front = Front((gateway.port,), websockets=True, locations=locations)
        noise = ["426", "502", *GOING_AWAY]
        async with (
            proxied("nginx", front, tmp_path) as proxy,
            console(proxy.port, path="/echo/", noise=noise) as page,
        ):
            await page.click("#connect")
            await page.shows(
                "#explanation", "refuses this page's origin, .* is http://backends, .* pass the Host header on"
            )
            await page.shows("#explanation", "The path removed the Upgrade header: .*proxy_set_header Upgrade")
            gateway.stop.set()
            await gateway.stopped.wait()
            await page.click("#connect")
            await page.shows("#explanation", r"The route can't be reached \(HTTP 502 Bad Gateway\): a proxy answers")


async def test_a_missing_forwarded_scheme_is_told_from_a_missing_upgrade(tmp_path: Path) -> None:
    certificates = Certificates(tmp_path)
    async with running_gateway() as gateway:
        front = Front((gateway.port,), websockets=True, shows=certificates.server, locations=taken_off())
        async with (
            proxied("nginx", front, tmp_path) as proxy,
            console(
                proxy.port,
                path="/echo/",
                scheme="https",
                ignoreHTTPSErrors=True,
                noise=["426", "403", "WebSocket connection to"],
            ) as page,
        ):
            await page.click("#connect")
            await page.shows("#explanation", "refuses this page's origin, https:.* send X-Forwarded-Proto: https, or")


async def test_what_nginx_does_unless_told_is_what_the_check_finds(tmp_path: Path) -> None:
    async with running_gateway() as gateway:
        locations = (
            "location / { proxy_pass http://backends; proxy_set_header Host $http_host; client_max_body_size 1m; }"
        )
        front = Front((gateway.port,), websockets=True, locations=locations)
        async with proxied("nginx", front, tmp_path) as proxy:
            report = await page_report(proxy.port, ["ws-upgrade", "ws-idle", "metadata", "message-size", "status"])
    found = checks_in(report)
    assert found["ws-upgrade"]["outcome"] == "broken"
    assert found["ws-upgrade"]["finding"] == (
        "A WebSocket does not open: its request reached the gateway without its headers Upgrade and "
        "Connection: Upgrade (it came as HTTP/1.0)."
    )
    assert found["ws-upgrade"]["advice"][0].startswith("nginx: proxy_set_header Upgrade")
    assert found["ws-idle"]["finding"] == "It was not run because ws-upgrade is broken."
    assert (found["metadata"]["outcome"], found["metadata"]["finding"]) == (
        "broken",
        "Metadata is dropped on the way: to the server (x_probe_underscores, x.probe.dots).",
    )
    assert found["message-size"]["outcome"] == "limited"
    assert found["message-size"]["limit"] == pytest.approx(2**20, rel=0.01)
    assert "a larger one fails: HTTP 413 with text/html" in found["message-size"]["finding"]
    assert found["status"]["outcome"] == "survived"
    assert report["path"]["hops_guess"] == ["nginx"]


@pytest.mark.parametrize(("more", "outcome"), [("", "broken"), ("proxy_buffering off;", "survived")])
async def test_responses_that_nginx_holds_back_but_for_websockets_are_found(
    more: str, outcome: str, tmp_path: Path
) -> None:
    sockets = f"location /ws/ {{ proxy_pass http://backends; {UPGRADE} }}"
    others = f"location / {{ proxy_pass http://backends; proxy_set_header Host $http_host; {more} }}"
    async with running_gateway() as gateway:
        front = Front((gateway.port,), websockets=True, locations=f"{sockets} {others}")
        async with proxied("nginx", front, tmp_path) as proxy:
            report = await page_report(proxy.port, ["response-streaming"])
    found = checks_in(report)["response-streaming"]
    assert found["outcome"] == outcome
    if outcome == "broken":
        assert found["finding"].startswith("The path holds responses back until ")
        assert found["details"]["likely"].startswith("This applies to gRPC-Web and Connect; on a WebSocket, each")
        assert "nginx: proxy_buffering (default on): off before a gateway for gRPC-Web and Connect" in found["advice"]


async def test_the_check_tells_why_an_origin_is_refused(tmp_path: Path) -> None:
    certificates = Certificates(tmp_path)
    async with running_gateway() as gateway:
        front = Front((gateway.port,), websockets=True, shows=certificates.server, locations=taken_off())
        async with (
            proxied("nginx", front, tmp_path) as proxy,
            console(proxy.port, path="/echo/", scheme="https", ignoreHTTPSErrors=True, noise=NOISE) as page,
        ):
            await page.click("#check")
            row = "#check-table tr[data-outcome=broken]"
            await page.shows(row, "ws-upgrade.*broken.*The gateway refuses what arrived: the origin is not allowed.")
            await page.shows(f"{row} p", "refuses this page's origin, https:.* send X-Forwarded-Proto: https, or")
            await page.shows(f"{row} li", "^nginx: proxy_set_header Upgrade")
            await page.click("#check")
            await page.shows("#check-summary", "^Stopped.* 1 broken")


@pytest.mark.third_party(lambda: installed("haproxy"), reason="haproxy is not installed")
async def test_haproxy_does_not_pass_on_that_a_request_is_cancelled_unless_told(tmp_path: Path) -> None:
    async with (
        running_gateway() as gateway,
        proxied("haproxy", Front((gateway.port,), websockets=True), tmp_path) as proxy,
    ):
        report = await page_report(proxy.port, ["cancel"])
    found = checks_in(report)["cancel"]
    assert (found["outcome"], found["finding"]) == (
        "broken",
        "The server was still working on a call 2 s after we had cancelled it.",
    )
    assert any(line.startswith("HAProxy: option abortonclose (default off)") for line in found["advice"])


async def test_the_check_tells_that_websockets_go_by_http2(tmp_path: Path) -> None:
    cert, key = Certificates(tmp_path).server
    async with running_gateway(HTTP_CERT=cert, HTTP_KEY=key) as gateway:
        report = await page_report(gateway.port, ["ws-http2"], scheme="https", ignoreHTTPSErrors=True)
    said = "A WebSocket opens over HTTP/2, and a message and its reply come through it."
    assert checks_in(report)["ws-http2"]["finding"] == said
    assert report["path"]["protocol"] == "HTTP/2"


async def test_the_check_tells_that_a_path_speaks_no_http2(tmp_path: Path) -> None:
    certificates = Certificates(tmp_path)
    async with running_gateway() as gateway:
        front = Front((gateway.port,), websockets=True, shows=certificates.server, locations=taken_off(TLS))
        async with proxied("nginx", front, tmp_path) as proxy:
            report = await page_report(proxy.port, ["ws-http2"], path="/echo/", scheme="https", ignoreHTTPSErrors=True)
    found = checks_in(report)["ws-http2"]
    assert found["outcome"] == "limited"
    assert found["finding"] == "The path to the gateway does not speak HTTP/2, so browsers use HTTP/1.1."
