"""The console in a real browser: bursts that end early, what is in flight meanwhile, and the list of messages."""

from collections.abc import AsyncIterator

import pytest
import trio

from echo.pb.com.gopay.echo.streaming import StreamingServerBase, StreamMessage, StreamResponse
from tests.support.browser import console, needs_browser
from tests.support.gateway import running_gateway

pytestmark = [needs_browser, pytest.mark.usefixtures("nothing_left")]

SLOWLY = "#count=5000&every=5"


@pytest.mark.parametrize(
    ("button", "cause", "headline"),
    [
        ("half-close", "by the half-close", "^1000 normal closure$"),
        ("close", "because you closed the connection", "^1000 closed by you$"),
        ("leave", "because you closed the connection", "^Left without waiting$"),
    ],
)
async def test_a_burst_that_is_cut_short_says_so(button: str, cause: str, headline: str) -> None:
    told = rf"Burst cut short {cause}: [\d,]{{2,}} of 5,000 messages were sent\."
    async with running_gateway() as gateway, console(gateway.port, state=SLOWLY) as page:
        await page.click("#burst")
        await page.shows("#n-received", r"^[\d,]{2,}$")
        await page.click(f"#{button}")
        await page.shows("#burst-result", f"^{told}$")
        await page.shows("#headline", headline)
        await page.shows("#explanation", told)  # Though the call may have ended OK.
        await page.shows("#log .event.bad", told)
        assert await page.evaluate("state.dataset.tone") == "fair"
        assert await page.text("#burst") == "Send burst"


async def test_a_burst_that_the_server_ends_says_so() -> None:
    async with (
        running_gateway(GRPC_MAX_MESSAGE_SIZE="1KiB") as gateway,
        console(gateway.port, state="#count=100&size=3000") as page,
    ):
        await page.click("#burst")
        await page.shows("#burst-result", "^Burst cut short because the connection ended: ")
        await page.shows("#explanation", "Burst cut short because the connection ended: ")


async def test_nothing_is_sent_after_a_half_close_and_the_page_says_why() -> None:
    async with running_gateway([Silent()]) as gateway, console(gateway.port, noise=["503"]) as page:
        await page.click("#send")
        await page.click("#half-close")
        await page.shows("#headline", "^Half-closed$")
        for button, problem in (("send", "message-problem"), ("burst", "burst-problem")):
            await page.click(f"#{button}")
            await page.shows(f"#{problem}", "half-closed, so nothing more can be sent")
        assert await page.text("#n-sent") == "1"


class Silent(StreamingServerBase):
    """Takes everything and answers nothing."""

    async def bidirectional_stream(
        self, stream_message_iterator: AsyncIterator[StreamMessage]
    ) -> AsyncIterator[StreamResponse]:
        async for _ in stream_message_iterator:
            pass
        await trio.Event().wait()
        yield StreamResponse()


class Losing(StreamingServerBase):
    """Answers every second message only."""

    async def bidirectional_stream(
        self, stream_message_iterator: AsyncIterator[StreamMessage]
    ) -> AsyncIterator[StreamResponse]:
        number = 0
        async for message in stream_message_iterator:
            number += 1
            if number % 2 == 0:
                yield StreamResponse("a", number, 0, f"from server: {message.message}", True)


async def test_no_more_is_in_flight_than_is_asked_for() -> None:
    async with running_gateway() as gateway, console(gateway.port) as page:
        found = await page.evaluate(
            """import("/console/burst.js").then(async ({ Burst }) => {
                let [most, wake] = [0, () => {}];
                const session = {
                    open: true, halfClosed: false, ours: false, stuck: false, buffered: 0, inFlight: 0,
                    activity: () => new Promise((done) => { wake = done; }),
                    say() {
                        this.inFlight += 1;
                        most = Math.max(most, this.inFlight);
                        setTimeout(() => { this.inFlight -= 1; wake(); });
                    },
                };
                const burst = new Burst(session, { streamId: "a", count: 50, every: 0, size: 1, window: 7 });
                await burst.run();
                return [most, burst.sent, burst.state, burst.account.replace(/in .*/, "in T")];
            })"""
        )
    assert found == [7, 50, "done", "Burst sent: 50 messages in T"]


async def test_answers_that_are_lost_do_not_hold_a_burst_up() -> None:
    state = "#count=60&window=2"
    async with running_gateway([Losing()]) as gateway, console(gateway.port, state=state, noise=["503"]) as page:
        await page.click("#burst")
        await page.shows("#burst-result", "^Burst sent: 60 messages in ")
        await page.shows("#n-missing", "^30$")


async def test_the_page_says_what_a_round_trip_is() -> None:
    async with running_gateway() as gateway, console(gateway.port) as page:
        await page.shows(
            "#trips-note", "^Time from sending a message to its answer, both in this page. Queueing counts:"
        )


async def test_the_newest_message_is_in_sight_and_what_is_being_read_stays() -> None:
    window = {"width": 1280, "height": 800}
    first = "log.querySelector('li:first-child')"
    async with running_gateway() as gateway, console(gateway.port, state="#count=100", viewport=window) as page:
        await page.click("#burst")
        await page.shows("#burst-result", "^Burst sent: 100 messages")
        await page.fill("#message", "the newest")
        await page.click("#send")
        await page.shows("#log li:first-child.received .short", "from server: the newest$")
        assert await page.evaluate("[scrollY, log.scrollTop]") == [0, 0]
        assert await page.evaluate(f"{first}.getBoundingClientRect().bottom < innerHeight")
        # Somebody scrolls down to read.
        await page.evaluate("log.scrollTop = 300")
        await page.evaluate("window.read = log.children[20]; window.before = read.getBoundingClientRect().top")
        await page.fill("#message", "newer still")
        await page.click("#send")
        await page.shows("#log li:first-child.received .short", "from server: newer still$")
        assert await page.evaluate("Math.abs(read.getBoundingClientRect().top - before) < 1")
        assert await page.evaluate("log.scrollTop > 300")


async def test_drawing_the_list_leaves_a_burst_its_time() -> None:
    async with running_gateway() as gateway, console(gateway.port) as page:
        drawn = await page.evaluate(
            """import("/console/log.js").then(async ({ Log }) => {
                const list = document.createElement("ol");
                const [mine, begun] = [new Log(list, document.createElement("small")), performance.now()];
                let drawings = 0;
                new MutationObserver(() => { drawings += 1; }).observe(list, { childList: true });
                while (performance.now() - begun < 500 || drawings < 2) {
                    mine.add("sent", "{}");
                    await new Promise(requestAnimationFrame);
                }
                return drawings / (performance.now() - begun) * 1000;
            })"""
        )
    assert isinstance(drawn, (int, float))
    assert 0 < drawn < 14  # A second.
