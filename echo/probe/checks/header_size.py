"""`header-size`: how large may metadata be: a request's, a response's, and what comes with the end of a call.

As a reply's metadata is asked for by metadata of the request, no more can be asked of replies than requests can carry.
Each size is tried on a connection of its own, since a hop may close it over one that it refuses.
"""

from dataclasses import dataclass
from typing import Final

import trio

from echo.probe.asking import ask, ending, succeeded
from echo.probe.bisect import KIB, Bounds, narrow, size_in_words
from echo.probe.calls import UNARY, scripted
from echo.probe.check import Check
from echo.probe.finding import Finding, inconclusive, limited, survived
from echo.probe.http2 import Stream
from echo.probe.line import UnreachableError
from echo.probe.path import Path
from echo.probe.target import Target
from echo.wire import Request

SERVER: Final = 16 * KIB  # What the server takes.
SPARE: Final = 1 * KIB  # Of it for what hops add.
LEAST: Final = 128  # Bytes: a value that must get through.
PRECISION: Final = 128
AT_ONCE: Final = 8
ROUNDS: Final = 3
FIELD: Final = 32  # What a field counts besides its name and value (RFC 9113 §6.5.2).
NAME: Final = "x-probe-filler"
_WORDS: Final = {
    "request": "metadata of a request",
    "response": "metadata at the head of a reply",
    "trailers": "metadata at the end of a reply",
}


@dataclass
class Way:
    """What is known of one kind of metadata; sizes are of a value's bytes.

    Attributes:
        kind: Which one.
        bounds: What got through, what did not.
        asked: The largest that was tried.
        came: What came instead of the first that did not get through.
        unlike: The smallest did not get through either, or the server did not do as asked.
    """

    kind: str
    bounds: Bounds
    asked: int
    came: str = ""
    unlike: bool = False

    @property
    def limited(self) -> bool:
        """Whether less than what was asked for gets through."""
        return not self.unlike and self.bounds.fits < self.asked


class HeaderSize(Check):
    """Tries the largest metadata that the server takes, each way, and narrows down what gets through."""

    name = "header-size"
    question = "How large may metadata be?"
    patience = 12.0
    causes = ("request", "response", "trailers")

    async def run(self, path: Path) -> Finding:  # noqa: D102 - as in Check
        within = 1.5 if path.budget.quick else 2.5
        request = await _explore(path, path.target, "request", _room(path), within)
        if request.unlike:
            return inconclusive(f"A call with a little metadata ended with {request.came}, so no size can be judged.")
        # The wish has a name in front, and the request carries it.
        most = request.bounds.fits - len(NAME) - 64
        ways = [request]

        async def look(kind: str) -> None:
            ways.append(await _explore(path, path.target, kind, most, within))

        if most > LEAST:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(look, "response")
                nursery.start_soon(look, "trailers")
        ways.sort(key=lambda way: list(_WORDS).index(way.kind))
        short = [way for way in ways if way.limited]
        if short and path.direct:
            short = [way for way in short if not await _fails_around(path, way, within)]
        return _finding(ways, short)


async def _explore(path: Path, to: Target, kind: str, most: int, within: float) -> Way:
    way = Way(kind, Bounds(0, most + 1), most)
    if await _fits(path, to, way, most, within):
        way.bounds = Bounds(most, most + 1)
    elif not await _fits(path, to, way, LEAST, within):
        way.unlike = True
    else:
        way.bounds = Bounds(LEAST, most)

        async def fits(size: int) -> bool:
            return await _fits(path, to, way, size, within)

        await narrow(way.bounds, fits, precision=PRECISION, at_once=AT_ONCE, rounds=ROUNDS)
    return way


async def _fits(path: Path, to: Target, way: Way, size: int, within: float) -> bool:
    value = "v" * size
    metadata = [(NAME, value)] if way.kind == "request" else []
    script = {
        "request": {},
        "response": {"set-header": f"{NAME}={value}"},
        "trailers": {"set-trailer": f"{NAME}={value}"},
    }[way.kind]
    try:
        async with path.http2(to) as connection:
            call = await ask(path, connection, UNARY, script, within=within, metadata=metadata)
            fit = _got_through(call, way.kind, value)
            if not fit:
                way.came = way.came or ending(call)
            return fit
    except UnreachableError:
        way.came = way.came or "no connection"
        return False


def _got_through(call: Stream, kind: str, value: str) -> bool:
    if not succeeded(call):
        return False
    if kind == "request":
        return True
    return dict(call.heads[0 if kind == "response" else -1]).get(NAME) == value


async def _fails_around(path: Path, way: Way, within: float) -> bool:
    """Whether the smallest size that failed fails around the path, too."""
    return not await _fits(path, path.direct[0], Way(way.kind, way.bounds, way.asked), way.bounds.fails, within)


def _room(path: Path) -> int:
    """How many bytes a value may have, for the header list to be what the server takes, less some for hops to add."""
    fields = Request("", authority=path.authority or path.target.authority, timeout=1.0).fields()
    octets = [*fields, *((name.encode(), value.encode()) for name, value in scripted("x" * 22, {}, path.headers))]
    used = len(UNARY.path) + len(NAME) + FIELD + sum(len(name) + len(value) + FIELD for name, value in octets)
    return SERVER - SPARE - used


def _finding(ways: list[Way], short: list[Way]) -> Finding:
    details = {way.kind: way.bounds.fits for way in ways if not way.unlike}
    if short:
        least = min(short, key=lambda way: way.bounds.fits)
        told = [f"{_WORDS[way.kind]} gets through up to {size_in_words(way.bounds.fits)}" for way in short]
        sentence = f"{_and(told)}; beyond that comes {least.came}."
        return limited(
            least.kind, sentence[0].upper() + sentence[1:], limit=least.bounds.fits, unit="bytes", details=details
        )
    unlike = [_WORDS[way.kind] for way in ways if way.unlike]
    if unlike:
        return inconclusive(f"The server did not send {_and(unlike)} as asked: is ECHO_SCRIPTING off?", details=details)
    least_of_all = min(way.bounds.fits for way in ways)
    return survived(
        f"Metadata gets through up to what the server takes: {size_in_words(least_of_all)} in one value, each way.",
        limit=least_of_all,
        unit="bytes",
        details=details,
    )


def _and(words: list[str]) -> str:
    return f"{', '.join(words[:-1])} and {words[-1]}" if len(words) > 1 else words[0]
