"""`header-size`: how large can metadata be?

The metadata of a reply is requested by metadata, so replies cannot be asked for more than requests can carry. Each size
is tried on its own connection, since a hop may close the connection over metadata that it refuses. Small sizes come
first: after a reply that is too large for them, some hops consider the server unhealthy and send it no calls for a
while. For the same reason, a reply only counts if the server has seen its call.
"""

from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from echo.probe.asking import ask, ending_clause, succeeded
from echo.probe.bisect import KIB, Bounds, narrow, size_in_words
from echo.probe.calls import UNARY, scripted
from echo.probe.check import Check, Scheduling
from echo.probe.finding import Finding, inconclusive, limited, survived
from echo.probe.http2 import Stream
from echo.probe.line import UnreachableError
from echo.probe.path import Path
from echo.probe.target import Target
from echo.rpc import Limits
from echo.wire import Request

SERVER: Final = Limits().max_header_list_size  # What the server accepts.
SPARE: Final = 1 * KIB  # Left free for headers that hops add.
LEAST: Final = 128  # Bytes of a value that must get through.
STEPS: Final = (2 * KIB, 4 * KIB, 8 * KIB)  # Sizes to try between that and the largest.
PRECISION: Final = 128
AT_ONCE: Final = 8
ROUNDS: Final = 2
FIELD: Final = 32  # Bytes that a field counts in addition to its name and value (RFC 9113 §6.5.2).
NAME: Final = "x-probe-filler"
FILLER: Final = "X"  # Also eight bits in HPACK's Huffman code (RFC 7541, Appendix B): hops may count either.
_WORDS: Final = {
    "request": "in a request",
    "response": "in the headers of a reply",
    "trailers": "in the trailers of a reply",
}


@dataclass
class SizeSearch:
    """The search in one kind of metadata, and what is known so far; sizes are bytes of a value.

    Attributes:
        kind: ``request``, ``response`` or ``trailers``.
        bounds: The sizes that got through and that did not.
        asked: The largest size that was tried.
        came: How the first call ended whose metadata did not get through.
        late: Whether that call was not answered, or no connection could be made for it.
        unlike: Even the smallest size did not get through, or the server did not do as asked.
    """

    kind: str
    bounds: Bounds
    asked: int
    came: str = ""
    late: bool = False
    unlike: bool = False

    @property
    def limited(self) -> bool:
        """Whether less than what was asked for gets through."""
        return not self.unlike and self.bounds.fits < self.asked


class HeaderSize(Check):
    """Tries the largest metadata that the server accepts, both ways, and narrows down what gets through."""

    name = "header-size"
    question = "How large can metadata be?"
    scheduling = Scheduling.LAST
    patience = 12.0
    causes = ("request", "response", "trailers", "several")

    async def run(self, path: Path) -> Finding:  # noqa: D102 - as in Check
        within = 1.5 if path.budget.quick else 2.5
        request = await _explore(path, path.target, "request", _room(path), within)
        if request.unlike:
            what = f"A call with little metadata already fails ({request.came}), so no limit could be found."
            return inconclusive(what)
        if request.limited and not await _fits(path, path.target, request, LEAST, within):
            return inconclusive(f"Calls fail now and then, whatever their metadata ({request.came}).")
        # The request also carries the script's name before the value.
        most = request.bounds.fits - len(NAME) - 64
        ways = [request]

        if most > LEAST:
            ways += [await _explore(path, path.target, kind, most, within) for kind in ("response", "trailers")]
        short = [way for way in ways if way.limited]
        if short and path.direct:
            short = [way for way in short if not await _fails_around(path, way, within)]
        return _finding(ways, short)


async def _explore(path: Path, to: Target, kind: str, most: int, within: float) -> SizeSearch:
    way = SizeSearch(kind, Bounds(0, most + 1), most)
    for size in (LEAST, *(step for step in STEPS if step < most), most):
        if not await _fits(path, to, way, size, within):
            way.bounds.fails = size
            break
        way.bounds.fits = size
    way.unlike = not way.bounds.fits
    if way.limited:

        async def fits(size: int) -> bool | None:
            return await _fits(path, to, way, size, within)

        await narrow(way.bounds, fits, precision=PRECISION, at_once=AT_ONCE, rounds=ROUNDS)
    return way


async def _fits(path: Path, to: Target, way: SizeSearch, size: int, within: float) -> bool | None:
    """Try a size; None if the server has not seen a call whose reply should have that size."""
    value = FILLER * size
    metadata = [(NAME, value)] if way.kind == "request" else []
    script = {
        "request": {},
        "response": {"set-header": f"{NAME}={value}"},
        "trailers": {"set-trailer": f"{NAME}={value}"},
    }[way.kind]
    call_id = path.new_call_id()
    came, late = "no connection could be made", True
    with suppress(UnreachableError):
        async with path.http2(to) as connection:
            call = await ask(path, connection, UNARY, script, within=within, call_id=call_id, metadata=metadata)
            if _got_through(call, way.kind, value):
                return True
            came, late = ending_clause(call), not (call.over or connection.ended)
    if way.kind != "request" and await path.evidence(call_id, within=0.2) == []:
        return None
    if not way.came:
        way.came, way.late = came, late
    return False


def _got_through(call: Stream, kind: str, value: str) -> bool:
    if not succeeded(call):
        return False
    if kind == "request":
        return True
    return dict(call.heads[0 if kind == "response" else -1]).get(NAME) == value


async def _fails_around(path: Path, way: SizeSearch, within: float) -> bool:
    """Whether the smallest size that failed also fails when bypassing the path."""
    return not await _fits(path, path.direct[0], SizeSearch(way.kind, way.bounds, way.asked), way.bounds.fails, within)


def _room(path: Path) -> int:
    """The size of a value with which the header list is as large as the server accepts, less room for hops' headers."""
    fields = Request("", authority=path.authority or path.target.authority, timeout=1.0).fields()
    octets = [*fields, *((name.encode(), value.encode()) for name, value in scripted("x" * 22, {}, path.headers))]
    used = len(UNARY.path) + len(NAME) + FIELD + sum(len(name) + len(value) + FIELD for name, value in octets)
    return SERVER - SPARE - used


def _finding(ways: list[SizeSearch], short: list[SizeSearch]) -> Finding:
    details = {way.kind: way.bounds.fits for way in ways if not way.unlike}
    if short:
        least = min(short, key=lambda way: way.bounds.fits)
        told = [f"up to {_size(way.bounds)} {_WORDS[way.kind]}" for way in short]
        beyond = f"; beyond that, {least.came}" if len({way.came for way in short}) == 1 else ""
        cause = least.kind if len(short) == 1 else "several"
        sentence = f"Metadata gets through {_and(told)}{beyond}."
        silent = all(way.late for way in short)
        return limited(cause, sentence, limit=least.bounds.fits, unit="bytes", details=details, silent=silent)
    unlike = [_WORDS[way.kind] for way in ways if way.unlike]
    if unlike:
        what = f"The server did not send metadata {_and(unlike)} as asked: is ECHO_SCRIPTING off?"
        return inconclusive(what, details=details)
    least_of_all = min(way.bounds.fits for way in ways)
    return survived(
        f"Metadata gets through up to the server's own limit: {size_in_words(least_of_all)} in one value, both ways.",
        limit=least_of_all,
        unit="bytes",
        details=details,
    )


def _size(bounds: Bounds) -> str:
    """The limit, as exactly as it is known."""
    exact = bounds.fails - bounds.fits <= max(4 * PRECISION, bounds.fits // 8)
    size = size_in_words(bounds.fits)
    return size if exact else f"some size between {size} and {size_in_words(bounds.fails)}"


def _and(words: list[str]) -> str:
    return f"{', '.join(words[:-1])} and {words[-1]}" if len(words) > 1 else words[0]
