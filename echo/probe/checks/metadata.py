"""`metadata`: does metadata pass unchanged, both ways?

What we send is compared with what the server has recorded. The server is asked for each kind of metadata by a separate
call: a path that merges repeated request headers would garble a longer script. If the call with all kinds does not get
through, one call for each kind shows which the path refuses.
"""

from collections.abc import Mapping, Sequence
from typing import Final

import trio

from echo.probe.asking import AT_ONCE, ask, ending, scripting_problem, succeeded
from echo.probe.calls import UNARY
from echo.probe.check import Check
from echo.probe.evidence import headers_of
from echo.probe.finding import Finding, JsonValue, broken, inconclusive, survived
from echo.probe.http2 import Http2, Stream
from echo.probe.path import Path
from echo.wire import decode_bin, encode_bin

PATIENCE: Final = 3.0  # Seconds for a call.
SHORTLY: Final = 2.0  # Seconds for a call that the path may refuse.
LOOK: Final = 0.5  # Seconds to look for a refused call on the servers.
OCTETS: Final = bytes((0, 255, 10, 61, 128)) + "\N{SNOWMAN}".encode()
DOTS: Final = "x.probe.dots"

SENT: Final[Mapping[str, Sequence[str | bytes]]] = {
    "x-probe-plain": ('Mixed case; "quotes", commas=and %41/~',),
    "x-probe-octets-bin": (OCTETS,),
    "x_probe_underscores": ("one",),
    DOTS: ("one",),
    "x-probe-twice": ("one", "two"),
    "x-probe-twice-bin": (OCTETS, b"two"),
}
PLAIN: Final = ""  # A call with no metadata of ours.
_WAYS: Final = ("to the server", "in the headers of the reply", "in the trailers of the reply")
_DONE: Final = {"dropped": "is dropped", "rewritten": "is changed", "merged": "is merged into one value"}


class Metadata(Check):
    """Sends metadata of every kind, has the server send the same, and compares."""

    name = "metadata"
    question = "Does metadata pass unchanged, both ways?"
    needs = ("http2", "trailers")
    patience = 14.0
    causes = ("dropped", "dots", "merged", "rewritten", "refused")

    async def run(self, path: Path) -> Finding:  # noqa: D102 - as in Check
        async with path.http2() as connection:
            if (why := await scripting_problem(path, connection, within=PATIENCE)) is not None:
                return inconclusive(why)
            there = await self._there(path, connection)
            back = await self._back(path, connection)
            refused = await self._refused(path) if isinstance(there, str) else {}
        if refused:
            return _refusal(refused)
        if isinstance(there, str):
            return _finding([{}, *back]) if any(back) else inconclusive(there)
        if not any((there, *back)):
            return survived(
                "Metadata passes unchanged both ways, whatever its name, and so do binary and repeated values."
            )
        return _finding([there, *back])

    async def _there(self, path: Path, connection: Http2) -> Mapping[str, str] | str:
        """What changed in the metadata that we sent, by name; or why that is not known."""
        call_id = path.new_call_id()
        metadata = [(name, value) for name, values in SENT.items() for value in values]
        call = await ask(path, connection, UNARY, within=PATIENCE, call_id=call_id, metadata=metadata)
        records = await path.evidence(call_id)
        if not records:
            known = "the server has not seen it"
            if records is None or succeeded(call):
                known = f"what the server saw could not be fetched{path.hint}"
            return f"A call with metadata of every kind ended with {ending(call)}, and {known}."
        return _differences(headers_of(records[-1]))

    async def _refused(self, path: Path) -> Mapping[str, str]:
        """The names whose calls the server does not get, with how these calls ended; empty if others fail as well."""
        refused: dict[str, str] = {}

        async def look(name: str, values: Sequence[str | bytes]) -> None:
            call_id = path.new_call_id()
            async with path.http2() as connection:  # A hop may close the connection of a call that it refuses.
                metadata = [(name, value) for value in values]
                call = await ask(path, connection, UNARY, within=SHORTLY, call_id=call_id, metadata=metadata)
                if call.over and not succeeded(call) and await path.evidence(call_id, within=LOOK) == []:
                    refused[name] = ending(call)

        async with trio.open_nursery() as nursery:
            for name, values in {PLAIN: (), **SENT}.items():
                nursery.start_soon(look, name, values)
        return {} if PLAIN in refused else {name: refused[name] for name in SENT if name in refused}

    async def _back(self, path: Path, connection: Http2) -> Sequence[dict[str, str]]:
        """What changed in the metadata that the server sent, by name: in heads and in trailers."""
        heads: dict[str, str] = {}
        trailers: dict[str, str] = {}
        places = trio.CapacityLimiter(AT_ONCE)

        async def look(name: str) -> None:
            wishes = [f"{name}={encode_bin(v).decode() if isinstance(v, bytes) else v}" for v in SENT[name]]
            call_id = path.new_call_id()
            async with places:
                script = {"set-header": wishes, "set-trailer": wishes}
                call = await ask(path, connection, UNARY, script, within=PATIENCE, call_id=call_id)
            if not _is_whole(call):
                return  # The call itself failed.
            found = [_judge(name, _values(name, head)) for head in (call.heads[0], call.heads[-1])]
            if any(found) and len(wishes) > 1 and not await self._asked(path, call_id, wishes):
                return  # The script was garbled.
            for what, result in zip(found, (heads, trailers), strict=True):
                if what is not None:
                    result[name] = what

        async with trio.open_nursery() as nursery:
            for name in SENT:
                nursery.start_soon(look, name)
        return heads, trailers

    async def _asked(self, path: Path, call_id: str, wishes: Sequence[str]) -> bool:
        """Whether our script reached the server unchanged."""
        records = await path.evidence(call_id)
        return records is not None and any(
            _values("x-echo-set-header", headers_of(record)) == list(wishes) for record in records
        )


def _is_whole(call: Stream) -> bool:
    return succeeded(call) and len(call.heads) > 1


def _values(name: str, fields: Sequence[tuple[str, str]]) -> list[str]:
    return [value for found, value in fields if found == name]


def _differences(arrived: Sequence[tuple[str, str]]) -> dict[str, str]:
    found = {name: _judge(name, _values(name, arrived)) for name in SENT}
    return {name: what for name, what in found.items() if what is not None}


def _judge(name: str, arrived: Sequence[str]) -> str | None:
    """What changed in a name's values; None if nothing did."""
    sent = SENT[name]
    if not arrived:
        return "dropped"
    if name.endswith("-bin"):  # These may be joined by commas; the receiver splits them.
        octets = [_octets(piece) for value in arrived for piece in value.split(",")]
        if octets == list(sent):
            return None
        return "dropped" if len(octets) < len(sent) and set(octets) <= set(sent) else "rewritten"
    if list(arrived) == list(sent):
        return None
    if len(arrived) < len(sent):
        pieces = [piece.strip() for value in arrived for piece in value.split(",")]
        return "merged" if pieces == list(sent) else "dropped"
    return "rewritten"


def _octets(value: str) -> bytes | None:
    try:
        return decode_bin(value.strip().encode("latin-1"))
    except ValueError:
        return None


def _finding(ways: Sequence[Mapping[str, str]]) -> Finding:
    details: dict[str, JsonValue] = {way: dict(names) for way, names in zip(_WAYS, ways, strict=True) if names}
    for cause in ("dropped", "rewritten", "merged"):
        parts: dict[tuple[str, ...], list[str]] = {}
        for way, names in zip(_WAYS, ways, strict=True):
            some = tuple(name for name, what in names.items() if what == cause)
            if some:
                parts.setdefault(some, []).append(way)
        if parts:
            told = "; ".join(f"{_and(where)} ({', '.join(names)})" for names, where in parts.items())
            what = f"Metadata {_DONE[cause]} on the way: {told}."
            dots = cause == "dropped" and {name for names in parts for name in names} == {DOTS}
            return broken("dots" if dots else cause, what, details=details)
    raise AssertionError("there are differences")


def _refusal(refused: Mapping[str, str]) -> Finding:
    names, how = ", ".join(refused), next(iter(refused.values()))
    what = f"The path refuses calls for their metadata ({names}): they end with {how} before the server."
    return broken("refused", what, details={"refused": dict(refused)})


def _and(words: Sequence[str]) -> str:
    return f"{', '.join(words[:-1])} and {words[-1]}" if len(words) > 1 else words[0]
