"""The console in a real browser: what a person sees of the three streams, whose messages arrive or do not."""

from collections.abc import AsyncIterator

import pytest

from echo.pb.com.gopay.echo.streaming import StreamingServerBase, StreamMessage, StreamResponse
from tests.support.browser import Browser, console, needs_browser
from tests.support.gateway import running_gateway

pytestmark = [needs_browser, pytest.mark.usefixtures("nothing_left")]

FAULTS = ("#n-missing", "#n-order", "#n-duplicate", "#n-changed")


async def all_zero(page: Browser) -> bool:
    return [await page.text(counter) for counter in FAULTS] == ["0"] * len(FAULTS)


async def test_each_message_is_echoed_and_half_close_ends_with_1000() -> None:
    async with running_gateway() as gateway, console(gateway.port) as page:
        await page.click("#connect")
        await page.shows("#headline", "^Connected$")
        for number, text in enumerate(("one", "<b>&é✓</b>", "three"), 1):
            await page.fill("#message", text)
            await page.click("#send")
            await page.shows("#n-received", f"^{number}$")
        await page.shows("#log li:first-child.received .short", "3a from server: three$")
        await page.shows("#log .received .short", "2a from server: <b>&é✓</b>$")
        await page.click("#half-close")
        await page.shows("#headline", "^1000 normal closure$")
        await page.shows("#explanation", "The call ended OK")
        await page.shows("#log .sent:not(:has(.short)) .facts", "^half-close ")
        assert await page.text("#n-sent") == "3"  # A half-close is no message.
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
        await page.click("#send")  # And again, once that is over.
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
            await page.shows("#log-more", r"^last 500 of 2,00\d, newest first$")
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
        await page.shows("#n-received", r"^\d{2,3}$")  # So not all at once.
        assert await page.text("#burst") == "Stop"
        await page.click("#burst")
        await page.shows("#burst", "^Send burst$")
        await page.shows("#log .event", r"Burst stopped: \d+ of 5,000 messages were sent\.$")
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


async def test_what_is_lost_doubled_late_or_changed_is_reported() -> None:
    state = "#count=6&size=8"
    async with running_gateway([Garbling()]) as gateway, console(gateway.port, state=state, noise=["503"]) as page:
        await page.click("#burst")
        await page.shows("#headline", "^1000 ")
        counters = ("#n-unanswered", *FAULTS)
        assert [await page.text(counter) for counter in counters] == ["1", "1", "1", "1", "1"]
        for verdict in ("ahead", "late", "duplicate", "changed"):
            await page.shows("#log .received.bad .facts", f"^{verdict} · ")


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
