"""One call on a raw HTTP/2 connection from beginning to end, and readable words for how it ended."""

from collections.abc import Awaitable, Callable, Iterable, Sequence
from itertools import zip_longest
from typing import Final, TypeVar

import trio

from echo.printable import printable
from echo.probe.calls import UNARY, Rpc, Script
from echo.probe.evidence import Record
from echo.probe.http2 import Http2, Stream
from echo.probe.path import Path
from echo.probe.target import Target
from echo.rpc import Status
from echo.wire import decode_status_message

SendT = TypeVar("SendT")
RecvT = TypeVar("RecvT")

LOOKS: Final = 3  # Times to ask for a call's records through the path: there may be several servers behind it.
AT_ONCE: Final = 4  # Calls that a check makes at once on one connection: few enough for any path.
MARK: Final = "x-probe-mark"  # Response metadata that shows that the server follows scripts.
UNHEEDED: Final = "The server did not do as asked: is ECHO_SCRIPTING off, or does the path drop x-echo-* headers?"
_CLAUSES: Final = {
    "a reset": "calls are reset",
    "an end without a status": "calls end without a status",
    "a lost connection": "the connection is lost",
    "no answer": "there is no answer",
}
_SLACK: Final = 1.0  # Seconds by which the call's deadline exceeds our wait, so that the deadline is not what we see.


async def ask(
    path: Path,
    connection: Http2,
    rpc: Rpc[SendT, RecvT],
    script: Script | None = None,
    *,
    within: float,
    call_id: str | None = None,
    metadata: Sequence[tuple[str, str | bytes]] = (),
    again: Target | None = None,
) -> Stream:
    """Make a call with one message; returns its stream once the call or the connection has ended, or time is up.

    Args:
        path: The path.
        connection: The connection to use.
        rpc: The method to call.
        script: What the server is to do.
        within: Seconds it may take.
        call_id: By default a new one.
        metadata: Further metadata to send.
        again: Where to make the call once more, on a connection of its own, if a GOAWAY says that it was not
            processed: clients do that by themselves. By default, it is not made again.
    """
    until = trio.current_time() + within
    call_id = call_id or path.new_call_id()
    with trio.move_on_at(until):
        await connection.ready()
    call = path.begin(
        connection,
        rpc,
        script,
        call_id=call_id,
        metadata=metadata,
        timeout=within + _SLACK,
    )
    with trio.move_on_at(until):
        await call.send(path.message(rpc), end=True)
        await connection.until(lambda: call.over or connection.spared(call))
    if again is None or call.over or not connection.spared(call):
        return call
    async with path.http2(again) as another:
        return await ask(path, another, rpc, script, within=within, call_id=call_id, metadata=metadata)


def apart(some: Sequence[Status], others: Sequence[Status]) -> Sequence[Status]:
    """All statuses, each of ``some`` between two of ``others``."""
    return [status for pair in zip_longest(others, some) for status in pair if status is not None]


async def in_turn(jobs: Iterable[Callable[[], Awaitable[None]]]) -> None:
    """Run the jobs in order, `AT_ONCE` at a time."""
    left = iter(jobs)

    async def work() -> None:
        for job in left:
            await job()

    async with trio.open_nursery() as nursery:
        for _ in range(AT_ONCE):
            nursery.start_soon(work)


async def scripting_problem(path: Path, connection: Http2, *, within: float) -> str | None:
    """A sentence saying why scripted calls are not possible; None if the server follows scripts, as far as we see."""
    call = await ask(path, connection, UNARY, {"set-header": f"{MARK}=a", "set-trailer": f"{MARK}=z"}, within=within)
    if MARK in call.fields:
        return None
    if succeeded(call):
        return UNHEEDED
    return f"A plain call ended with {ending(call)}, so this could not be checked."


async def attempts_at(path: Path, call_id: str) -> Sequence[Record]:
    """All known attempts at a call."""
    found: dict[tuple[str, int], Record] = {}
    for look in range(1 if path.direct else LOOKS):
        for record in await path.evidence(call_id, within=1.0 if look == 0 else 0.0) or []:
            found[record.instance, record.attempt] = record
    return list(found.values())


def succeeded(call: Stream) -> bool:
    """Whether the call ended with OK."""
    return call.ended is not None and call.fields.get("grpc-status") == "0"


def ending(call: Stream) -> str:
    """How a call ended, as a noun that can follow "ended with"."""
    fields = call.fields
    http, kind = fields.get(":status", ""), fields.get("content-type", "")
    if "grpc-status" in fields:
        return status_in_words(fields["grpc-status"], fields.get("grpc-message", ""))
    if http and http != "200":
        return f"HTTP {printable(http, 10)}" + (f" with {printable(kind, 40)}" if kind else "")
    if kind and not call.is_grpc:
        return f"an answer of type {printable(kind, 40)}"
    if call.reset is not None:
        return "a reset"
    if call.ended is not None:
        return "an end without a status"
    if call.connection.ended:
        return "a lost connection"
    return "no answer"


def ending_clause(call: Stream) -> str:
    """How a call ended, as a clause with its own verb."""
    how = ending(call)
    if how.startswith(("HTTP ", "an answer")):
        return f"{how} is the answer" if how.startswith("HTTP ") else f"{how} comes"
    return _CLAUSES.get(how, f"calls end with {how}")


def status_in_words(code: str, message: str = "") -> str:
    """A status's name, with its message in brackets."""
    name = Status(int(code)).name if code.isdigit() and int(code) <= 16 else f"status {printable(code, 20)}"
    text = decode_status_message(message.encode("latin-1", "replace"))
    return f"{name} ({printable(text, 120)})" if text else name
