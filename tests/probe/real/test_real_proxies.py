"""nginx, HAProxy and Envoy, right and with one setting wrong: the report names what is wrong, and the setting.

Here each row is asked only for what its report is to say; `tests.probe.real.__main__` runs all checks on each. Timeouts
are of a few seconds, as quick surveys wait no more than ten; what they are by default, the advice says.
"""

from functools import partial
from pathlib import Path
from typing import Final

import pytest
import trio

from tests.probe.real.readme import title
from tests.probe.real.row import Says, told
from tests.probe.real.surveying import RIGHT, ROWS, Ours, ours, surveyed
from tests.support.proxies import installed

SIDE_BY_SIDE: Final = 6  # Rows at once.
IDLE: Final = 6.0  # Seconds that silence lasts at most.
SOME: Final = ("trailers", "status")  # Checks for a row of which nothing is said.


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    "product",
    [
        pytest.param(
            product,
            marks=pytest.mark.third_party(partial(installed, row.make), reason=f"{row.make} is not installed"),
        )
        for product, row in RIGHT.items()
    ],
)
async def test_what_is_wrong_is_named_and_so_is_its_setting(product: str, tmp_path: Path) -> None:
    rows = {title(row): row for row in ROWS if row.product == product}
    wanted = {name: list(row.says) for name, row in rows.items()}
    found: dict[str, list[Says]] = {}
    places = trio.CapacityLimiter(SIDE_BY_SIDE)

    async def survey(name: str, behind: Ours, folder: Path) -> None:
        row = rows[name]
        async with places:
            only = [one.check for one in row.says] or SOME
            report = await surveyed(row, behind, folder, only=only, idle=IDLE)
            found[name] = told(row, report, RIGHT[product])

    async with ours() as behind:
        async with trio.open_nursery() as nursery:
            for number, name in enumerate(rows):
                nursery.start_soon(survey, name, behind, _made(tmp_path / f"{number}"))
        for number, name in enumerate(rows):
            if found[name] != wanted[name]:  # These clocks are real: a busy machine may have been the reason.
                await survey(name, behind, _made(tmp_path / f"{number} again"))
    assert found == wanted


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder
