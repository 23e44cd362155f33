"""`status`: do all 17 status codes arrive, with their messages and details?

The server is asked for each status twice: after a reply, and at once. In the latter case the head and the trailers are
one header list ("Trailers-Only"), which some hops mistake for an HTTP error. The path is not blamed for differences
that also occur when bypassing it. Calls that the server has not seen were turned away on the path, by a rate limit or
a circuit breaker for example: their statuses were never the server's, so no status was rewritten.
"""

from collections.abc import Iterable, MutableMapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

from echo.probe.asking import apart, ask, ending, in_turn, scripting_problem
from echo.probe.calls import SERVER_STREAM
from echo.probe.check import Check
from echo.probe.finding import Finding, broken, inconclusive, survived
from echo.probe.http2 import Http2, Stream
from echo.probe.path import Path
from echo.probe.target import Target
from echo.rpc import Status as Code
from echo.scripting import Ending, status_details
from echo.wire import decode_bin, decode_status_message, encode_status_message

PATIENCE: Final = 3.0  # Seconds for a call.
LOOK: Final = 0.5  # Seconds to look for a call on the servers, once its answer is here.
MESSAGE: Final = 'probe: naïve, 100% "déjà vu" \N{SNOWMAN}'
# Hops that count a server's failures count these, and avoid a server after several in a row.
FAILURES: Final = (
    Code.UNKNOWN,
    Code.DEADLINE_EXCEEDED,
    Code.UNIMPLEMENTED,
    Code.INTERNAL,
    Code.UNAVAILABLE,
    Code.DATA_LOSS,
)
ORDER: Final = apart(FAILURES, [code for code in Code if code not in FAILURES])
NAMED: Final = 3  # The most codes that a sentence names.


@dataclass(frozen=True, order=True)
class Fault:
    """A status that did not arrive as sent.

    Attributes:
        code: The status code.
        alone: Whether it was sent without a reply before it.
        what: The cause: one of the check's, except ``trailers-only``.
        came: What arrived instead, in words.
    """

    code: int
    alone: bool
    what: str
    came: str


class Status(Check):
    """Asks for every status, and compares it with what arrives."""

    name = "status"
    question = "Do all 17 status codes arrive, with their messages and details?"
    needs = ("http2", "trailers")
    causes = ("rewritten", "hidden", "message", "details", "trailers-only")

    async def run(self, path: Path) -> Finding:  # noqa: D102 - as in Check
        faults = await self._faults(path, path.target)
        if isinstance(faults, str):
            return inconclusive(faults)
        if faults and path.direct:
            around = await self._faults(path, path.direct[0])
            same = set() if isinstance(around, str) else {(fault.code, fault.alone, fault.what) for fault in around}
            faults = [fault for fault in faults if (fault.code, fault.alone, fault.what) not in same]
        if not faults:
            return survived(f"All {len(Code)} status codes arrive, with their messages and details.")
        return _finding(faults)

    async def _faults(self, path: Path, to: Target) -> list[Fault] | str:
        """The statuses that did not arrive as sent; or why that is not known."""
        faults: list[Fault] = []
        turned_away: MutableMapping[tuple[Code, bool], str] = {}

        async def look(connection: Http2, code: Code, alone: bool) -> None:
            call_id = path.new_call_id()
            script = {
                "status": f"{code.value}:{encode_status_message(MESSAGE).decode()}",
                "details": "true",
                "count": "1",
                "after": "0" if alone else "1",
            }
            call = await ask(path, connection, SERVER_STREAM, script, within=PATIENCE, call_id=call_id, again=to)
            found = [*_judge(call, code, alone)]
            doubtful = found and not call.replied  # Its message may differ where its code is the same by chance.
            if doubtful and not await path.evidence(call_id, until=lambda _: True, within=LOOK):
                turned_away[code, alone] = ending(call)
            else:
                faults.extend(found)

        async with path.http2(to) as connection:
            if (why := await scripting_problem(path, connection, within=PATIENCE)) is not None:
                return why
            await in_turn(partial(look, connection, code, alone) for code in ORDER for alone in (False, True))
            again, turned_away = [*turned_away], {}
            await in_turn(partial(look, connection, code, alone) for code, alone in again)
        if turned_away and not faults:
            how = next(iter(turned_away.values()))
            number = f"{len(turned_away)} of {2 * len(Code)} calls"
            return f"The server is not known to have seen {number}, which ended with {how}: the path turned them away."
        return sorted(faults)


def _judge(call: Stream, code: Code, alone: bool) -> Iterable[Fault]:
    fields = call.fields
    if fields.get("grpc-status") != str(code.value):
        yield Fault(code.value, alone, "rewritten", ending(call))
    elif code is not Code.OK:  # Clients do not show a message or details that come with OK.
        message = decode_status_message(fields.get("grpc-message", "").encode("latin-1"))
        if message != MESSAGE:
            yield Fault(code.value, alone, "message", f"“{message}”" if message else "nothing")
        details = fields.get("grpc-status-details-bin", "")
        if _octets(details) != status_details(Ending(code, MESSAGE)):
            yield Fault(code.value, alone, "details", "something else" if details else "nothing")


def _octets(value: str) -> bytes | None:
    try:
        return decode_bin(value.encode("latin-1"))
    except ValueError:
        return None


def _finding(faults: Sequence[Fault]) -> Finding:
    details = {f"{Code(one.code).name}{' at once' if one.alone else ''}: {one.what}": one.came for one in faults}
    for what in ("rewritten", "message", "details"):
        some = [fault for fault in faults if fault.what == what]
        if not some:
            continue
        example = f"{Code(some[0].code).name} came as {some[0].came}" if what == "rewritten" else _names(some)
        if all(fault.alone for fault in some):
            lost = {"rewritten": "its status", "message": "its message", "details": "its error details"}[what]
            sentence = f"A call that fails before its first reply loses {lost} on the way: {example}."
            return broken("trailers-only", sentence, details=details)
        if what == "rewritten":
            number = len({fault.code for fault in some})
            if all(fault.came.startswith(Code.OK.name) for fault in some):
                sentence = f"Calls that fail seem to succeed: {number} of {len(Code)} status codes arrive as OK."
                return broken("hidden", sentence, details=details)
            sentence = f"{number} of {len(Code)} status codes {'does' if number == 1 else 'do'} not arrive: {example}."
        elif what == "message":
            sentence = (
                f"The status message is lost or changed on the way: where a server says “{MESSAGE}”, {_came(some)}."
            )
        else:
            sentence = f"The error details that come with a status are lost or changed on the way ({_names(some)})."
        return broken(what, sentence, details=details)
    raise AssertionError("there are faults")


def _came(faults: Sequence[Fault]) -> str:
    return f"{faults[0].came} arrives"


def _names(faults: Sequence[Fault]) -> str:
    names = list(dict.fromkeys(Code(fault.code).name for fault in faults))
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(names[:NAMED]) + more
