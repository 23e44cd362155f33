"""The picture of the console on the pages, after it has checked its path: ``python -m tests.gateway.picture``."""

from typing import Final

import trio

from tests.support.browser import console
from tests.support.gateway import running_gateway
from tests.support.page_checks import NOISE
from tests.support.process import ROOT

FILE: Final = ROOT / "docs/pages/console.png"
WINDOW: Final = {"width": 1180, "height": 900}


async def main() -> None:
    async with (
        running_gateway(HTTP_PORT="8080") as gateway,
        console(gateway.port, noise=NOISE, viewport=WINDOW, colorScheme="light") as page,
    ):
        await page.click("#check")
        await page.shows("#check-summary", r"; [\d.]+ s\.")
        await page.screenshot(str(FILE))


if __name__ == "__main__":
    trio.run(main)
