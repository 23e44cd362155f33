"""A script: what a call asks the server to do, parsed from its metadata."""

import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final, TypeVar

from echo.scripting import values
from echo.scripting.values import Choice, Ending, ScriptError
from echo.wire import encode_status_message

T = TypeVar("T")
U = TypeVar("U")

PREFIX: Final = "x-echo-"
MOST_FIELDS: Final = 32

NAMES: Final = frozenset(
    {
        *("delay", "count", "interval", "size", "status", "details", "after", "reset", "goaway", "stall"),
        *("succeed-after", "set-header", "set-trailer", "compress", "call-id", "report"),
    }
)
_REPEATABLE: Final = frozenset({"set-header", "set-trailer"})


@dataclass(frozen=True, slots=True)
class Script:
    """What a call asks for; None or False for what it does not. Durations are in seconds, sizes in bytes.

    Attributes:
        delay: How long to wait before the first response.
        count: How many responses a server stream sends.
        interval: The time between them.
        size: The size that each response is padded to.
        status: The statuses to end with and their probabilities; see `ending`.
        details: Whether to send a ``google.rpc.Status`` with the status.
        after: How many responses to send before the status or the reset; None for all.
        reset: The code of RST_STREAM, sent instead of a status.
        goaway: Whether to drain the connection.
        stall: How long to wait before reading messages.
        succeed_after: How many attempts with this call-id fail with UNAVAILABLE.
        headers: Initial metadata to add to the response.
        trailers: Trailing metadata to add.
        compress: The encoding of responses.
        call_id: The name to record the call under.
        report: Whether to send a report in the trailers.
    """

    delay: float = 0.0
    count: int | None = None
    interval: float | None = None
    size: int | None = None
    status: tuple[Choice, ...] = ()
    details: bool = False
    after: int | None = None
    reset: int | None = None
    goaway: bool = False
    stall: float = 0.0
    succeed_after: int | None = None
    headers: tuple[tuple[str, str | bytes], ...] = ()
    trailers: tuple[tuple[str, str | bytes], ...] = ()
    compress: str | None = None
    call_id: str | None = None
    report: bool = False

    def ending(self, chance: Callable[[], float] = random.random) -> Ending | None:
        """Choose the ending of a call from ``status`` by weight; None for no scripted ending."""
        point = chance() * 100
        for choice in self.status:
            point -= choice.percent
            if point < 0:
                return choice.ending
        return None


def parse_script(fields: Iterable[tuple[str, str | bytes]], max_size: int) -> Script:
    """Parse a script.

    Args:
        fields: Names without `PREFIX`, in lower case, and values; names not in `NAMES` are ignored.
        max_size: The largest response allowed, in bytes.

    Raises:
        ScriptError: A value is invalid, out of bounds or repeated, or requires another that is missing.
    """
    given: dict[str, list[str]] = {}
    for name, value in fields:
        if name in NAMES and isinstance(value, str):
            given.setdefault(name, []).append(value)
    for name, several in given.items():
        if len(several) > 1 and name not in _REPEATABLE:
            raise ScriptError(name, f"{values.shown(several[1])} comes after {values.shown(several[0])}; give it once")
    added = [*given.get("set-header", ()), *given.get("set-trailer", ())]
    if len(added) > MOST_FIELDS:
        name = "set-header" if "set-header" in given else "set-trailer"
        raise ScriptError(name, f"{len(added)} scripted headers are too many (at most {MOST_FIELDS})")
    script = Script(
        delay=_one(given, "delay", values.duration, 0.0),
        count=_one(given, "count", values.count, None),
        interval=_one(given, "interval", values.duration, None),
        size=_one(given, "size", lambda name, value: values.size(name, value, max_size), None),
        status=_one(given, "status", values.endings, ()),
        details=_one(given, "details", values.switch, False),
        after=_one(given, "after", values.count, None),
        reset=_one(given, "reset", values.error_code, None),
        goaway=_one(given, "goaway", values.switch, False),
        stall=_one(given, "stall", values.duration, 0.0),
        succeed_after=_one(given, "succeed-after", values.count, None),
        headers=tuple(values.field("set-header", value) for value in given.get("set-header", ())),
        trailers=tuple(values.field("set-trailer", value) for value in given.get("set-trailer", ())),
        compress=_one(given, "compress", values.compression, None),
        call_id=_one(given, "call-id", values.call_id, None),
        report=_one(given, "report", values.switch, False),
    )
    if script.succeed_after is not None and script.call_id is None:
        raise ScriptError("succeed-after", "needs a call-id, to count attempts by")
    return script


def _one(given: dict[str, list[str]], name: str, read: Callable[[str, str], T], default: U) -> T | U:
    return read(name, given[name][0]) if name in given else default


def as_metadata(fields: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    """Convert a script's fields to metadata; their values may contain any characters.

    Args:
        fields: As for `parse_script`, which must have accepted them.
    """
    return [
        (PREFIX + name, encode_status_message(value).decode() if name == "status" else value)
        for name, value in fields
        if name in NAMES
    ]
