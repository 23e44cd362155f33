"""Headless Chromium, driven by playwright-core in a Node.js process: a page, and what a user does with it.

One browser serves all the tests of a process, since starting it takes longer than most of them; each page has a profile
of its own. The script, ``tests/interop/node/browser.js``, documents the messages between the two.
"""

import atexit
import json
import re
import shutil
import subprocess
import tempfile
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from functools import cache
from pathlib import Path
from typing import Final

import pytest
import trio

from tests.support.grpc_js import NODE, SCRIPTS
from tests.support.serving import LOOPBACK

CHROMIUM: Final = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")

needs_browser: Final = pytest.mark.third_party(
    lambda: NODE is not None and CHROMIUM is not None and (SCRIPTS / "node_modules" / "playwright-core").exists(),
    reason="Node.js, playwright-core (`just tools`) or Chromium is not installed",
)

GOING_AWAY: Final = ("503", "ERR_", "WebSocket connection to")
"""What the browser may log when a gateway shuts down: `/readyz` answers 503 during its drain, and then nothing."""

PATIENCE: Final = 60.0  # The longest wait for the browser in seconds. Waits inside the page time out earlier.


class Chromium:
    """The browser's process. It starts with the first page and runs until this process ends."""

    def __init__(self) -> None:
        assert NODE is not None
        assert CHROMIUM is not None
        self._folder = Path(tempfile.mkdtemp(prefix="chromium-"))
        command = [NODE, str(SCRIPTS / "browser.js"), CHROMIUM, str(self._socket)]
        # No pipes: tests check for leaked descriptors.
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        atexit.register(self.end)

    @property
    def runs(self) -> bool:
        return self._process.poll() is None

    @property
    def _socket(self) -> Path:
        return self._folder / "socket"

    @property
    def _log(self) -> Path:
        return self._folder / "log"

    async def connect(self) -> trio.SocketStream:
        """Connect to the browser; each connection has its own page."""
        with trio.move_on_after(PATIENCE):
            while self.runs:
                try:
                    return await trio.open_unix_socket(str(self._socket))
                except OSError:  # Not listening yet.
                    await trio.sleep(0.01)
        raise AssertionError(f"the browser does not start: {self._log.read_text(errors='replace')}")

    def end(self) -> None:
        self._process.terminate()
        self._process.wait()
        shutil.rmtree(self._folder, ignore_errors=True)


@cache
def the_chromium() -> Chromium:
    return Chromium()


class Browser:
    """A page of the browser.

    Elements are named by CSS selectors. Methods that wait give up after a while with an AssertionError saying what they
    saw.
    """

    def __init__(self, stream: trio.SocketStream) -> None:
        self._stream = stream
        self._heard = b""
        self._orders = 0
        self._turn = trio.Lock()

    async def _do(self, action: str, *given: object) -> object:
        async with self._turn:
            self._orders += 1
            order = {"id": self._orders, "do": action, "with": given}
            with trio.fail_after(PATIENCE):
                await self._stream.send_all(json.dumps(order).encode() + b"\n")
                while b"\n" not in self._heard:
                    data = await self._stream.receive_some()
                    assert data, "the browser is gone"
                    self._heard += data
            line, _, self._heard = self._heard.partition(b"\n")
        answer = json.loads(line)
        assert answer["id"] == self._orders
        assert "failed" not in answer, answer["failed"]
        return answer["gave"]

    async def close(self) -> None:
        """Close the page and all its connections."""
        await self._do("close")

    async def open(self, url: str, **options: object) -> None:
        """Open a page in a fresh profile; ``options`` are those of a Playwright context."""
        await self._do("open", url, options)

    async def click(self, selector: str) -> None:
        await self._do("click", selector)

    async def save(self, selector: str) -> tuple[str, str]:
        """Click an element that saves a file; returns the file's name and text."""
        found = await self._do("save", selector)
        assert isinstance(found, list)
        return str(found[0]), str(found[1])

    async def check(self, selector: str, on: bool = True) -> None:
        await self._do("check", selector, on)

    async def fill(self, selector: str, text: str) -> None:
        await self._do("fill", selector, text)

    async def press(self, *keys: str) -> None:
        """Press and release keys one after the other, such as ``Tab`` or ``Shift+Tab``."""
        for key in keys:
            await self._do("press", key)

    async def type(self, text: str) -> None:
        """Type into the focused element."""
        await self._do("type", text)

    async def text(self, selector: str) -> str:
        """The element's visible text."""
        return str(await self._do("text", selector))

    async def shows(self, selector: str, pattern: str) -> None:
        """Wait until the element's text matches the regular expression (JavaScript's)."""
        await self._do("wait", selector, pattern)

    async def evaluate(self, expression: str) -> object:
        """The value of a JavaScript expression in the page."""
        return await self._do("evaluate", expression)

    async def resize(self, width: int, height: int) -> None:
        """Set the window's size, in CSS pixels."""
        await self._do("resize", width, height)

    async def screenshot(self, path: str) -> None:
        """Save what the window shows as a PNG."""
        await self._do("screenshot", path)

    async def said(self) -> list[str]:
        """What the page wrote to its console, including policy violations, and its exceptions."""
        found = await self._do("said")
        assert isinstance(found, list)
        return [str(line) for line in found]

    async def asked(self) -> list[str]:
        """The URLs of everything that the page has loaded or connected to."""
        found = await self._do("asked")
        assert isinstance(found, list)
        return [str(address) for address in found]


@asynccontextmanager
async def running_browser() -> AsyncIterator[Browser]:
    """A page for the length of the block."""
    if not the_chromium().runs:
        the_chromium.cache_clear()
    async with await the_chromium().connect() as stream:
        browser = Browser(stream)
        yield browser
        await browser.close()


@asynccontextmanager
async def console(
    port: int,
    *,
    noise: Collection[str] = (),
    state: str = "",
    path: str = "/",
    scheme: str = "http",
    **options: object,
) -> AsyncIterator[Browser]:
    """The console page of the gateway on this port, opened in a browser.

    At the end, checks that nothing was loaded from other sites, that the policy was not violated, and that no error
    occurred, except those that the browser itself reports about requests and that contain one of ``noise``.

    Args:
        port: The gateway's port.
        noise: Parts of lines that are allowed in the browser's console.
        state: The URL's fragment, with its ``#``.
        path: The page's path.
        scheme: The URL's scheme.
        options: Those of a Playwright context.
    """
    async with running_browser() as browser:
        await browser.open(f"{scheme}://{LOOPBACK}:{port}{path}{state}", **options)
        yield browser
        said = [line for line in await browser.said() if not any(known in line for known in noise)]
        assert said == [], f"the browser's console holds {said}"
        assert {re.split("/+", address)[1] for address in await browser.asked()} == {f"{LOOPBACK}:{port}"}
