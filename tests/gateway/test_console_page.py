"""The console in a real browser: calls and readiness, keyboard, phone, colours, settings in the address."""

import re

import pytest

from echo.services import echo_services
from tests.support.browser import console, needs_browser
from tests.support.gateway import gateway_to, running_gateway

pytestmark = [needs_browser, pytest.mark.usefixtures("nothing_left")]


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
    assert seen[:5] == ["check", "readiness", "theme", "bidirectional", "connect"]


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
        assert await page.text("#theme") == "Theme: dark"
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
        await page.shows("#burst-problem", "“every, ms” takes a number from 0 to 60,000")
        await page.fill("#burst-every", "0")
        await page.click("#burst")
        await page.shows("#n-sent", "^7$")


async def test_an_old_result_does_not_stand_beside_a_new_error() -> None:
    async with running_gateway() as gateway, console(gateway.port, state="#count=3") as page:
        await page.click("#call")
        await page.shows("#unary-result .status", "^200")
        await page.shows("#unary-result", "^Request\\s*GET /grpc/hello")
        await page.fill("#unary-key", "")
        await page.click("#call")
        await page.shows("#unary-problem", "^The key must not be empty.$")
        assert await page.text("#unary-result") == ""
        await page.fill("#unary-key", "a")
        assert await page.text("#unary-problem") == ""
        await page.click("#burst")
        await page.shows("#burst-result", "^Burst sent: 3 messages")
        await page.fill("#burst-count", "0")
        await page.click("#burst")
        await page.shows("#burst-problem", "^“messages” takes a whole number from 1 to 100,000.$")
        assert await page.text("#burst-result") == ""


@pytest.mark.parametrize("width", [390, 1280])
async def test_a_complaint_stands_beneath_its_field_and_covers_nothing(width: int) -> None:
    viewport = {"width": width, "height": 800}
    covered = """[...document.querySelectorAll("button, input, dd, li, p")].filter((node) => {
        const [mine, its] = [document.querySelector("#burst-problem"), node].map((one) => one.getBoundingClientRect());
        const apart = its.width === 0 || its.right <= mine.left || its.left >= mine.right;
        return node.id !== "burst-problem" && !apart && its.bottom > mine.top && its.top < mine.bottom;
    }).length"""
    async with running_gateway() as gateway, console(gateway.port, viewport=viewport) as page:
        await page.fill("#burst-size", "none")
        await page.click("#burst")
        await page.shows("#burst-problem", "“size, bytes” takes a whole number")
        assert await page.evaluate(covered) == 0
        assert await page.evaluate("document.activeElement.getAttribute('aria-describedby')") == "burst-problem"
        size = "document.querySelector('#burst-size').getBoundingClientRect().bottom"
        gap = await page.evaluate(f"document.querySelector('#burst-problem').getBoundingClientRect().top - {size}")
        assert isinstance(gap, (int, float))
        assert 0 < gap < 40


async def test_the_theme_button_says_what_it_does() -> None:
    async with running_gateway() as gateway, console(gateway.port) as page:
        said = [await page.evaluate("document.querySelector('#theme').ariaLabel")]
        for _ in range(3):
            await page.click("#theme")
            said.append(await page.evaluate("document.querySelector('#theme').ariaLabel"))
    assert said == [
        "Theme: auto. Change to light",
        "Theme: light. Change to dark",
        "Theme: dark. Change to auto",
        "Theme: auto. Change to light",
    ]


async def test_on_a_phone_each_result_follows_what_brings_it_about() -> None:
    tops = "[...document.querySelectorAll('main > .card')].map((card) => card.getBoundingClientRect().top)"
    async with running_gateway() as gateway, console(gateway.port, viewport={"width": 390, "height": 844}) as page:
        names = "[...document.querySelectorAll('main > .card')].map((card) => card.className.split(' ')[1])"
        assert await page.evaluate(names) == ["stream", "state", "message", "delivery", "log-card", "trips", "unary"]
        # What is read and tabbed through in this order also looks so.
        shown = await page.evaluate(tops)
        assert isinstance(shown, list)
        assert shown == sorted(set(shown))
        await page.resize(1280, 800)
        wide = await page.evaluate(tops)
        assert isinstance(wide, list)
        assert wide[0] == wide[1]  # And side by side where there is room.
        assert wide[2] == wide[4]
