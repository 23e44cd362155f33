"""`drain`: does a server that is about to stop finish its calls.

A stream asks the server to drain its connection (a graceful GOAWAY) after its first reply. That stream must bring all
its replies, and so must another beside it; new calls must be answered all the while, if on another connection.
"""

from dataclasses import dataclass, field
from typing import Final

import trio

from echo.pb.com.gopay.echo.streaming import StreamMessage, StreamResponse
from echo.probe.calls import SERVER_STREAM, UNARY, Script
from echo.probe.check import Check
from echo.probe.evidence import Record, headers_of
from echo.probe.finding import Finding, JsonValue, broken, inconclusive, survived
from echo.probe.path import Path
from echo.probe.target import Target
from echo.rpc import Channel, ClientStream, GRPCError

REPLIES: Final = 5  # Of the stream that asks for the drain.
BEFORE: Final = 2  # That the other has besides.
APART: Final = 0.3  # Seconds from one to the next.
EVERY: Final = 0.1  # Seconds from one new call to the next.
CALLS: Final = 5  # New calls at least.
PATIENCE: Final = 3.0  # Seconds until a reply; for the first ones, too, where a hop holds replies back.
DEADLINE: Final = 30.0  # Seconds that a stream may take, for the server.


@dataclass
class Seen:
    """What was seen while the server drained.

    Attributes:
        call_id: Of the stream that asked for it.
        began: Whether there was a stream before.
        streams: How many there were,
        open: and how many have not ended.
        lost: How those ended that did not end well.
        calls: How many new calls were made.
        failed: How those ended that failed.
    """

    call_id: str
    began: bool = False
    streams: int = 0
    open: int = 0
    lost: list[str] = field(default_factory=list)
    calls: int = 0
    failed: list[str] = field(default_factory=list)


class Drain(Check):
    """Has a connection drained under running streams, and makes new calls meanwhile."""

    name = "drain"
    question = "Does a server that is about to stop finish its calls?"
    patience = 12.0
    causes = ("call-lost", "new-calls-fail")

    async def run(self, path: Path) -> Finding:  # noqa: D102 - as in Check
        seen = await _drain(path, path.target)
        if not seen.began:
            return inconclusive(f"The stream that was to survive did not even begin ({seen.lost[0]}).")
        records = await path.evidence(seen.call_id, within=1.0) or []
        if not any(_asked(record) and record.messages_out for record in records):
            return inconclusive(f"It cannot be seen whether the server drained the connection{path.hint}.")
        if (seen.lost or seen.failed) and path.direct:
            around = await _drain(path, path.direct[0])
            if around.lost or around.failed:
                return inconclusive("Around the path, too, calls fail while a server drains.")
        return _finding(seen)


def _asked(record: Record) -> bool:
    return any(name == "x-echo-goaway" for name, _ in headers_of(record))


async def _drain(path: Path, to: Target) -> Seen:
    seen = Seen(path.new_call_id())
    async with path.channel(to) as channel, trio.open_nursery() as nursery:
        await nursery.start(_receive, path, channel, seen, path.new_call_id(), {}, REPLIES + BEFORE)
        seen.began = not seen.lost
        if seen.began:
            script = {"goaway": "true", "after": "1"}
            await nursery.start(_receive, path, channel, seen, seen.call_id, script, REPLIES)
            await _call_anew(path, channel, seen)
    return seen


async def _receive(
    path: Path,
    channel: Channel,
    seen: Seen,
    call_id: str,
    script: Script,
    replies: int,
    *,
    task_status: trio.TaskStatus[None],
) -> None:
    """Receive a stream, which has started with its first reply; note if it does not bring them all and end well."""
    seen.streams += 1
    seen.open += 1
    came = 0
    whole = {"count": f"{replies}", "interval": f"{APART * 1000:.0f}ms", **script}
    try:
        async with path.request(channel, SERVER_STREAM, whole, call_id=call_id, timeout=DEADLINE) as stream:
            await stream.send_message(SERVER_STREAM.message("hi"), end=True)
            while await _reply(stream) is not None:
                came += 1
                if came == 1:
                    task_status.started()
        if came != replies:
            seen.lost.append(f"it ended after {came} of {replies} replies")
    except trio.TooSlowError:
        seen.lost.append(f"nothing came after {came} of {replies} replies")
    except GRPCError as error:
        seen.lost.append(error.message or error.status.name)
    finally:
        seen.open -= 1
    if not came:
        task_status.started()


async def _reply(stream: ClientStream[StreamMessage, StreamResponse]) -> StreamResponse | None:
    with trio.fail_after(PATIENCE):
        return await stream.recv_message()


async def _call_anew(path: Path, channel: Channel, seen: Seen) -> None:
    """Make new calls as long as there are streams, and some in any case."""
    while seen.open or seen.calls < CALLS:
        answer = await path.call(channel, UNARY, timeout=PATIENCE)
        seen.calls += 1
        if not answer.ok:
            seen.failed.append(answer.message or answer.status.name)
        await trio.sleep(EVERY)


def _finding(seen: Seen) -> Finding:
    details: dict[str, JsonValue] = {
        "streams": seen.streams,
        "lost": [*seen.lost],
        "new_calls": seen.calls,
        "failed": [*seen.failed],
    }
    if seen.lost:
        were = "was" if len(seen.lost) == 1 else "were"
        sentence = (
            f"{len(seen.lost)} of {seen.streams} running calls {were} lost when a server was about to stop, though it "
            f"would have finished them: {seen.lost[0]}."
        )
        return broken("call-lost", sentence, details=details)
    if seen.failed:
        sentence = (
            f"{len(seen.failed)} of {seen.calls} new calls failed while a server was about to stop: {seen.failed[0]}."
        )
        return broken("new-calls-fail", sentence, details=details)
    sentence = f"A server about to stop finished its calls, and all {seen.calls} new ones meanwhile were answered."
    return survived(sentence, details=details)
