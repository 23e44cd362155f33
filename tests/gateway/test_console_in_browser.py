"""The console in a real browser: what a person sees who asks whether gRPC and WebSockets survive the way here."""

import re
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager

import pytest
import trio

from echo.pb.com.gopay.echo.streaming import StreamingServerBase, StreamMessage, StreamResponse
from echo.services import echo_services
from tests.support.browser import Browser, needs_browser, running_browser
from tests.support.gateway import gateway_to, running_gateway
from tests.support.relay import relaying
from tests.support.serving import LOOPBACK

pytestmark = [needs_browser, pytest.mark.usefixtures("nothing_left")]

FAULTS = ("#n-missing", "#n-order", "#n-duplicate", "#n-changed")


@asynccontextmanager
async def console(
    port: int, *, noise: Collection[str] = (), state: str = "", **options: object
) -> AsyncIterator[Browser]:
    """The page, opened in a browser. At the end, nothing was loaded from elsewhere, no rule of the policy was broken
    and no error occurred, but those which the browser itself reports of requests and which hold one of ``noise``."""
    async with running_browser() as browser:
        await browser.open(f"http://{LOOPBACK}:{port}/{state}", **options)
        yield browser
        said = [line for line in await browser.said() if not any(known in line for known in noise)]
        assert said == []
        assert {re.split("/+", address)[1] for address in await browser.asked()} == {f"{LOOPBACK}:{port}"}


async def all_zero(page: Browser) -> bool:
    return [await page.text(counter) for counter in FAULTS] == ["0"] * len(FAULTS)


# The streams


async def test_each_message_is_echoed_and_half_close_ends_with_1000() -> None:
    async with running_gateway() as gateway, console(gateway.port) as page:
        await page.click("#connect")
        await page.shows("#headline", "^Connected$")
        for number, text in enumerate(("one", "<b>&é✓</b>", "three"), 1):
            await page.fill("#message", text)
            await page.click("#send")
            await page.shows("#n-received", f"^{number}$")
        await page.shows("#log .received:nth-last-child(1) .short", "3a from server: three$")
        await page.shows("#log .received .short", "2a from server: <b>&é✓</b>$")
        await page.click("#half-close")
        await page.shows("#headline", "^1000 normal closure$")
        await page.shows("#explanation", "The call ended OK")
        assert await page.text("#n-sent") == "4"
        assert await page.text("#n-unanswered") == "0"
        assert await page.text("#n-trips") == "3"
        assert await all_zero(page)


async def test_the_server_stream_sends_five_echoes_and_closes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("echo.services.streaming.INTERVAL", 0.01)
    async with running_gateway() as gateway, console(gateway.port) as page:
        await page.check("input[value=server]")
        await page.click("#send")  # Which connects first.
        await page.shows("#headline", "^1000 ")
        await page.shows("#log .received .short", r"5a from server: hi \(echo 5/5\)")
        assert await page.text("#n-received") == "5"
        assert await all_zero(page)
        await page.click("#send")  # And anew, once that is over.
        await page.shows("#n-trips", "^1$")
        await page.shows("#headline", "^1000 ")


async def test_the_client_stream_sums_up_at_half_close() -> None:
    async with running_gateway() as gateway, console(gateway.port) as page:
        await page.check("input[value=client]")
        for number in range(1, 4):
            await page.click("#send")
            await page.shows("#n-sent", f"^{number}$")
        await page.click("#half-close")
        await page.shows("#headline", "^1000 ")
        await page.shows("#log .received .short", "3a from server: received 3 messages")
        assert await all_zero(page)


@pytest.mark.parametrize("stream", ["bidirectional", "client"])
async def test_a_burst_is_counted_and_none_is_missing(stream: str) -> None:
    async with running_gateway() as gateway, console(gateway.port, state=f"#stream={stream}&count=1000") as page:
        await page.click("#burst")
        await page.shows("#n-sent", "^1,000$")
        if stream == "bidirectional":
            await page.shows("#n-received", "^1,000$")
            await page.shows("#n-unanswered", "^0$")
            await page.shows("#n-trips", "^1,000$")
            assert "1,000 round trips: half within " in str(await page.evaluate("plot.getAttribute('aria-label')"))
            # The list is bounded, and says so.
            await page.shows("#log-more", r"^last 500 of 2,00\d$")
            assert await page.evaluate("log.childElementCount") == 500
            dots = str(await page.evaluate("plot.querySelector('.dots').getAttribute('d')"))
            assert dots.count("M") == 600
        await page.click("#half-close")
        await page.shows("#headline", "^1000 ")
        if stream == "client":
            await page.shows("#log .received .short", "1000a from server: received 1000 messages")
        assert await all_zero(page)


async def test_a_burst_keeps_its_pace_and_can_be_stopped() -> None:
    async with running_gateway() as gateway, console(gateway.port) as page:
        await page.fill("#burst-count", "5000")
        await page.fill("#burst-every", "20")
        await page.fill("#burst-size", "300")
        await page.click("#burst")
        await page.shows("#n-received", r"^\d\d$")  # So not all at once.
        assert await page.text("#burst") == "Stop"
        await page.click("#burst")
        await page.shows("#burst", "^Send burst$")
        await page.shows("#log .event", r"sent \d+ of 5,000 in ")
        await page.shows("#n-unanswered", "^0$")
        await page.check("#wire")
        sizes = await page.evaluate("JSON.parse(log.querySelector('.sent .wire').textContent).message.length")
        assert sizes == 300


class Garbling(StreamingServerBase):
    """Answers that a line should not make of ours: the second is lost and comes late, the fourth comes twice, the fifth
    is never there, the sixth has another text."""

    async def bidirectional_stream(
        self, stream_message_iterator: AsyncIterator[StreamMessage]
    ) -> AsyncIterator[StreamResponse]:
        count = 0
        async for _ in stream_message_iterator:
            count += 1
            if count == 6:
                break
        for number in (1, 3, 2, 4, 4, 6):
            text = "other" if number == 6 else f"#{number} -----"
            yield StreamResponse("a", number, 0, f"from server: {text}", True)


async def test_what_is_lost_doubled_late_or_changed_is_told() -> None:
    state = "#count=6&size=8"
    async with running_gateway([Garbling()]) as gateway, console(gateway.port, state=state, noise=["503"]) as page:
        await page.click("#burst")
        await page.shows("#headline", "^1000 ")
        counters = ("#n-unanswered", *FAULTS)
        assert [await page.text(counter) for counter in counters] == ["1", "1", "1", "1", "1"]
        for verdict in ("ahead", "late", "duplicate", "changed"):
            await page.shows("#log .received.bad .facts", f"^{verdict} · ")


# How it ends


async def test_a_call_that_fails_shows_1011_and_what_the_server_said() -> None:
    async with running_gateway() as gateway, console(gateway.port) as page:
        await page.fill("#stream-id", "")
        await page.click("#send")
        await page.shows("#headline", "^1011 the call failed$")
        await page.shows("#explanation", "INVALID_ARGUMENT: .*does not accept.*“stream_id is required”")
        await page.shows("#log .event", "closed 1011: INVALID_ARGUMENT: stream_id is required")
        assert await page.text("#n-unanswered") == "1"


async def test_a_server_that_cannot_be_reached_is_told_from_a_gateway_that_cannot() -> None:
    async with gateway_to(1) as gateway, console(gateway.port, noise=["503", "ERR_CONNECTION"]) as page:
        await page.click("#send")
        await page.shows("#headline", "^1011 ")
        await page.shows("#explanation", "The gateway is there, but the gRPC server behind it can't be reached")
        await page.shows("#readiness-text", "^Not ready$")
        await page.shows("#readiness-reason", "/readyz: UNAVAILABLE: cannot connect")
        gateway.stop.set()
        await gateway.stopped.wait()
        await page.click("#connect")
        await page.shows("#headline", "^1006 could not connect$")
        await page.shows("#explanation", "never opened. Plain HTTP to the same address fails too")
        await page.click("#readiness")
        await page.shows("#readiness-reason", "the gateway does not answer")


async def test_a_gateway_that_goes_away_shows_1001_and_the_page_comes_back_by_itself() -> None:
    services = echo_services()
    async with running_gateway(services.services) as gateway, relaying(gateway.port) as line:
        noise = ["ERR_", "WebSocket connection to"]
        async with console(line.port, state="#reconnect=1", noise=noise) as page:
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


@pytest.mark.parametrize("stream", ["bidirectional", "server"])
async def test_invalid_json_shows_the_gateway_s_answer(stream: str) -> None:
    async with running_gateway() as gateway, console(gateway.port, state=f"#stream={stream}&raw=1") as page:
        await page.fill("#raw-text", '{"oops"')
        await page.click("#send")
        await page.shows("#log .received.bad .short", "invalid message format")
        await page.shows("#log .received.bad .facts", "^refused")
        if stream == "server":
            await page.shows("#headline", "^1007 invalid data$")
        else:  # It goes on.
            await page.fill("#raw-text", '{"streamId":"b","message":"raw"}')
            await page.click("#send")
            await page.shows("#log .received:not(.bad) .short", "1b from server: raw$")
            await page.fill("#raw-text", "")  # An empty message is a half-close.
            await page.click("#send")
            await page.shows("#headline", "^1000 ")
        assert await all_zero(page)


async def test_the_page_closes_with_a_code_or_just_leaves() -> None:
    async with running_gateway() as gateway, console(gateway.port) as page:
        await page.click("#connect")
        await page.shows("#headline", "^Connected$")
        await page.fill("#close-code", "1001")
        await page.click("#close")
        await page.shows("#fault", "3000 to 4999")
        assert await page.text("#headline") == "Connected"
        await page.fill("#close-code", "4321")
        await page.click("#close")
        await page.shows("#headline", "^4321 private code$")
        await page.click("#connect")
        await page.shows("#headline", "^Connected$")
        await page.click("#drop")
        await page.shows("#headline", "^1005 closed by you$")
        with trio.fail_after(20):
            while gateway.server.calls:  # The server's handlers hear of either.
                await trio.testing.wait_all_tasks_blocked(0.01)


# Beside the streams


async def test_the_unary_call_shows_its_answer_and_the_request_s_name() -> None:
    async with running_gateway() as gateway, console(gateway.port) as page:
        await page.fill("#unary-key", "a b/ü?#")
        await page.click("#call")
        await page.shows("#unary-result .status", "^200")
        await page.shows("#unary-result", "[0-9a-f-]{36}:from server:a b/ü\\?#:success:true")
        await page.shows("#unary-result", "x-request-id\\s*[0-9a-f-]{36}")


async def test_the_unary_call_shows_errors() -> None:
    async with gateway_to(1) as gateway, console(gateway.port, noise=["503"]) as page:
        await page.click("#call")
        await page.shows("#unary-result .status", "^503")
        await page.shows("#unary-result", '"status":"UNAVAILABLE"')


async def test_readiness_follows_the_server_s_health() -> None:
    services = echo_services()
    async with running_gateway(services.services) as gateway, console(gateway.port, noise=["503"]) as page:
        await page.shows("#readiness-text", "^Ready$")
        services.health.drain()
        await page.shows("#readiness-text", "^Not ready$")  # By itself.
        await page.shows("#readiness-reason", "^/readyz: the backend is NOT_SERVING$")


# How it looks, and to whom


async def test_it_can_be_worked_by_the_keyboard_alone() -> None:
    seen: list[object] = []
    async with running_gateway() as gateway, console(gateway.port) as page:
        await page.shows("#readiness-text", "^Ready$")

        async def go_to(name: str) -> None:
            for _ in range(30):
                await page.press("Tab")
                focused = await page.evaluate("document.activeElement.id || document.activeElement.value")
                seen.append(focused)
                ring = "getComputedStyle({}).outlineStyle"
                around = "document.activeElement.matches('[type=radio]') ? document.activeElement.nextSibling : "
                assert await page.evaluate(ring.format(f"({around}document.activeElement)")) != "none", focused
                if focused == name:
                    return
            raise AssertionError(f"{name} is not among {seen}")

        await go_to("bidirectional")
        await page.press("ArrowRight", "ArrowRight")
        await page.shows("#stream-hint", "one summary")
        await go_to("connect")
        await page.press("Enter")
        await page.shows("#headline", "^Connected$")
        await go_to("message")
        await page.type(" there")
        await page.press("Enter")
        await page.shows("#n-sent", "^1$")
        for _ in range(30):
            await page.press("Shift+Tab")
            if await page.evaluate("document.activeElement.id") == "half-close":
                break
        await page.press("Space")
        await page.shows("#headline", "^1000 ")
        # What can't be used any more still has the focus.
        assert await page.evaluate("document.activeElement.id") == "half-close"
        await go_to("unary-key")
        await page.press("Enter")
        await page.shows("#unary-result .status", "^200")
    assert seen[:4] == ["readiness", "theme", "bidirectional", "connect"]


async def test_enter_sends_raw_text_and_shift_enter_breaks_the_line() -> None:
    async with running_gateway() as gateway, console(gateway.port, state="#raw=1") as page:
        await page.fill("#raw-text", '{"stream_id":"a",')
        await page.press("Shift+Enter")
        await page.type('"message":"two lines"}')
        await page.press("Enter")
        await page.shows("#log .received .short", "from server: two lines")


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_nothing_sticks_out_on_a_phone_and_the_colours_are_the_reader_s(scheme: str) -> None:
    phone = {"width": 360, "height": 740}
    async with (
        running_gateway() as gateway,
        console(gateway.port, viewport=phone, colorScheme=scheme, reducedMotion="reduce") as page,
    ):
        await page.fill("#message", "unbroken" * 100)
        await page.click("#send")
        await page.click("#call")
        await page.shows("#n-received", "^1$")
        await page.shows("#unary-result", "200")
        await page.check("#wire")
        await page.check("#raw")
        assert await page.evaluate("document.documentElement.scrollWidth") == 360
        narrow = (
            "[...document.querySelectorAll('button, input, textarea, dd')].filter(node => node.getClientRects().length"
        )
        assert await page.evaluate(f"{narrow} && node.getBoundingClientRect().right > 360).length") == 0
        ground = str(await page.evaluate("getComputedStyle(document.body).backgroundColor"))
        assert (sum(map(int, re.findall(r"\d+", ground))) < 384) is (scheme == "dark")
        assert (
            await page.evaluate(
                "state.dataset.tone = 'busy', getComputedStyle(state.querySelector('.lamp')).animationName"
            )
            == "none"
        )
        # The reader's own word goes before the system's.
        await page.click("#theme")
        await page.click("#theme")
        assert await page.text("#theme") == "Dark"
        ground = str(await page.evaluate("getComputedStyle(document.body).backgroundColor"))
        assert sum(map(int, re.findall(r"\d+", ground))) < 384


async def test_settings_travel_with_the_address() -> None:
    async with running_gateway() as gateway, console(gateway.port) as page:
        await page.check("input[value=client]")
        await page.fill("#burst-count", "7")
        await page.check("#raw")
        await page.press("Tab")
        assert await page.evaluate("location.hash") == "#stream=client&raw=1&count=7"
    state = "#stream=client&raw=1&count=7&nonsense=%00&every=abc"
    async with running_gateway() as gateway, console(gateway.port, state=state) as page:
        assert await page.evaluate("document.querySelector('[name=stream]:checked').value") == "client"
        await page.click("#burst")
        await page.shows("#fault", "“every, ms” takes a number from 0 to 60,000")
        await page.fill("#burst-every", "0")
        await page.click("#burst")
        await page.shows("#n-sent", "^7$")
