"""The console's "Check this path" as a user sees it, stops it and saves its result."""

import json
import re
import subprocess
from pathlib import Path

import pytest
import trio

from echo.probe.table import CHECKS
from echo.rpc import Server
from echo.services import echo_services
from tests.cli.test_probe import probe
from tests.probe.test_ws_close import StripReasons
from tests.probe.web_relays import web_relaying
from tests.support.browser import GOING_AWAY, Browser, console, needs_browser
from tests.support.gateway import gateway_to, running_gateway
from tests.support.page_checks import NOISE
from tests.support.serving import LOOPBACK, serving

pytestmark = [needs_browser, pytest.mark.usefixtures("nothing_left")]

ROWS = "[...document.querySelectorAll('#check-table tbody tr')]"
NAMES = [check.name for check in CHECKS]


async def outcomes(page: Browser) -> dict[str, str]:
    found = await page.evaluate(f"{ROWS}.map((row) => [row.cells[0].textContent, row.dataset.outcome])")
    assert isinstance(found, list)
    return dict(found)


@pytest.mark.slow
async def test_a_clean_path_survives_and_its_report_is_one_to_expect_of_the_command_line(tmp_path: Path) -> None:
    server = Server(echo_services().services)
    async with serving(server) as port, gateway_to(port, server) as gateway:
        async with console(gateway.port, noise=NOISE) as page:
            began = trio.current_time()
            await page.click("#check")
            await page.shows("#check-summary", r"^\d+ survived, \d+ skipped; [\d.]+ s\.$")
            assert trio.current_time() - began < 60
            seen = await outcomes(page)
            assert list(seen) == NAMES
            assert set(seen.values()) == {"survived", "skipped"}
            for name, outcome in seen.items():
                if outcome == "skipped":
                    row = f"{ROWS}.find((row) => row.cells[0].textContent === '{name}').cells[2].textContent"
                    assert str(await page.evaluate(row)).endswith("; echo-grpc probe can.")
            name, text = await page.save("#check-save")
        assert re.fullmatch(r"echo-path-127\.0\.0\.1-\d{8}T\d{6}\.json", name)
        report = json.loads(text)
        (tmp_path / name).write_text(text)
        line = await probed(port, gateway.port, "ws-upgrade,status", "--format", "json")
        expected = json.loads(line.stdout)
        assert list(report) == list(expected)
        assert list(report["path"]) == list(expected["path"])
        assert list(report["checks"][0]) == list(expected["checks"][0])
        assert list(report["counts"]) == list(expected["counts"])
        assert (report["version"], report["gateway"]) == (1, f"http://{LOOPBACK}:{gateway.port}")
        assert report["path"]["instances"] == expected["path"]["instances"]
        assert report["path"]["protocol"] == "HTTP/1.1"
        same = await probed(port, gateway.port, "ws-upgrade,ws-close", "--expect", str(tmp_path / name))
        assert same.returncode == 0
        async with web_relaying(gateway.port, StripReasons()) as hop:
            worse = await probed(port, hop, "ws-upgrade,ws-close", "--expect", str(tmp_path / name))
        assert worse.returncode == 1


async def probed(port: int, gateway: int, names: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """The command line's probe, of these checks."""
    ends = [f"{LOOPBACK}:{port}", "--gateway", f"http://{LOOPBACK}:{gateway}", "--quick", "--only", names]
    return await trio.to_thread.run_sync(lambda: probe(*ends, *arguments))


async def test_it_can_be_stopped_and_closes_its_sockets() -> None:
    async with running_gateway() as gateway, console(gateway.port, noise=NOISE) as page:
        await page.evaluate(
            "window.sockets = [], window.WebSocket = class extends WebSocket "
            "{ constructor(...given) { super(...given); sockets.push(this); } }"
        )
        await page.click("#check")
        await page.shows("#check-table tr[data-outcome=running] .outcome-cell", "^running [1-9] s$")
        assert await page.text("#check") == "Stop checking"
        assert await page.evaluate("sockets.filter((one) => one.readyState <= 1).length <= 13")
        await page.click("#check")
        await page.shows("#check-summary", r"^Stopped\. .*inconclusive")
        assert await page.evaluate("sockets.filter((one) => one.readyState <= 1).length") == 0
        assert not {"waiting", "running"} & set((await outcomes(page)).values())
        await page.shows("#check-table tr[data-outcome=inconclusive]", r"It was stopped before it finished\.")
        await page.click("#check-hide")
        assert await page.evaluate("document.activeElement.id") == "check"


# A path that keeps responses to itself until the server is done, after 0.6 s, and is then slow to pass them on.
SLOW_AT_THE_END = """
Promise.all([
    import("/console/check/checks/response-streaming.js"), import("/console/check/socket.js"),
]).then(([check, { Closed }]) => check.run(new AbortController().signal, {
    hint: "",
    newCallId: () => "a",
    serverSaw: async () => [{ started: 0, ended: 0.6e9 }],
    websocket(signal, method, { count, size = "1" }, use) {
        const texts = Array(Number(count)).fill("x".repeat(Number(size)));
        let pause = 700;
        return use({
            send() {},
            async receive() {
                if (pause) await new Promise((done) => setTimeout(done, pause));
                pause = size === "1" ? 0 : 10;
                return texts.pop() ?? new Closed(1000, "");
            },
        });
    },
}))
"""


async def test_responses_that_come_slowly_after_the_end_are_not_taken_for_a_buffer_s() -> None:
    async with running_gateway() as gateway, console(gateway.port) as page:
        found = await page.evaluate(SLOW_AT_THE_END)
    assert isinstance(found, dict)
    assert (found["outcome"], found["cause"]) == ("broken", "held-to-end")


async def test_a_gateway_that_is_gone_is_told_in_the_summary() -> None:
    async with running_gateway() as gateway, console(gateway.port, noise=GOING_AWAY) as page:
        gateway.stop.set()
        await gateway.stopped.wait()
        await page.click("#check")
        await page.shows("#check-summary", "^The checks failed: ")
        assert await page.text("#check") == "Check this path"


@pytest.mark.parametrize("width", [360, 1280])
async def test_the_table_is_one_for_who_hears_it_and_nothing_sticks_out(width: int) -> None:
    window = {"width": width, "height": 800}
    async with running_gateway() as gateway, console(gateway.port, viewport=window, noise=NOISE) as page:
        await page.click("#check")
        await page.shows("#check-table tr[data-outcome=survived]", "A WebSocket opens")
        roles = "['table', 'rowgroup', 'row', 'columnheader', 'rowheader', 'cell']"
        counts = await page.evaluate(f"{roles}.map((role) => document.querySelectorAll(`[role=${{role}}]`).length)")
        assert counts == [1, 2, 1 + len(NAMES), 3, len(NAMES), 2 * len(NAMES)]
        assert await page.evaluate("document.getElementById('check-summary').role") == "status"
        assert await page.evaluate("document.documentElement.scrollWidth") == width
        cells = f"{ROWS}.flatMap((row) => [...row.cells]).map((cell) => cell.getBoundingClientRect().right)"
        assert await page.evaluate(f"Math.max(...{cells}) <= {width}")
        await page.click("#check")
        await page.shows("#check-summary", "^Stopped")
