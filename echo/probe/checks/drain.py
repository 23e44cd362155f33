"""`drain`: does a server that is about to stop finish its calls?

A stream asks the server to drain its connection (a graceful GOAWAY) after its first reply. That stream and another one
must deliver all their replies; new calls must be answered meanwhile, possibly on another connection.
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
BEFORE: Final = 2  # Further replies of the other stream.
APART: Final = 0.3  # Seconds between replies.
EVERY: Final = 0.1  # Seconds between new calls.
CALLS: Final = 5  # The least number of new calls.
PATIENCE: Final = 3.0  # Seconds to wait for a reply, even if a hop holds replies back.
DEADLINE: Final = 30.0  # The streams' deadline in seconds.


@dataclass
class Observed:
    """What was seen while the server drained.

    Attributes:
        call_id: Of the stream that asked for the drain.
        began: Whether a stream was running before.
        streams: How many streams there were.
        open: How many of them have not ended.
        lost: How streams ended that did not end normally.
        silent: Whether one of them did not end, but nothing came any more.
        calls: How many new calls were made.
        failed: How new calls ended that failed.
    """

    call_id: str
    began: bool = False
    streams: int = 0
    open: int = 0
    lost: list[str] = field(default_factory=list)
    silent: bool = False
    calls: int = 0
    failed: list[str] = field(default_factory=list)


class Drain(Check):
    """Has the server drain a connection with running streams, and makes new calls meanwhile."""

    name = "drain"
    needs = ("http2", "trailers")
    question = "Does a server that is about to stop finish its calls?"
    patience = 12.0
    causes = ("call-lost", "new-calls-fail")

    async def run(self, path: Path) -> Finding:  # noqa: D102 - as in Check
        seen = await _drain(path, path.target)
        if not seen.began:
            return inconclusive(f"The stream that should have survived did not even begin ({seen.lost[0]}).")
        records = await path.evidence(seen.call_id, within=1.0) or []
        if not any(_asked(record) and record.messages_out for record in records):
            return inconclusive(f"It is not known whether the server drained the connection{path.hint}.")
        if seen.failed and not seen.lost and (why := await _fails_anyway(path)) is not None:
            return inconclusive(f"Calls fail even while no server is about to stop: {why}.")
        if (seen.lost or seen.failed) and path.direct:
            around = await _drain(path, path.direct[0])
            if around.lost or around.failed:
                return inconclusive("Even bypassing the path, calls fail while a server drains.")
        return _finding(seen)


def _asked(record: Record) -> bool:
    return any(name == "x-echo-goaway" for name, _ in headers_of(record))


async def _drain(path: Path, to: Target) -> Observed:
    seen = Observed(path.new_call_id())
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
    seen: Observed,
    call_id: str,
    script: Script,
    replies: int,
    *,
    task_status: trio.TaskStatus[None],
) -> None:
    """Receive a stream, started once its first reply has come; record whether it delivers all replies and ends well."""
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
        seen.silent = True
    except GRPCError as error:
        seen.lost.append(error.message or error.status.name)
    finally:
        seen.open -= 1
    if not came:
        task_status.started()


async def _reply(stream: ClientStream[StreamMessage, StreamResponse]) -> StreamResponse | None:
    with trio.fail_after(PATIENCE):
        return await stream.recv_message()


async def _call_anew(path: Path, channel: Channel, seen: Observed) -> None:
    """Make new calls as long as streams are open, but at least `CALLS`."""
    while seen.open or seen.calls < CALLS:
        answer = await path.call(channel, UNARY, timeout=PATIENCE)
        seen.calls += 1
        if not answer.ok:
            seen.failed.append(answer.message or answer.status.name)
        await trio.sleep(EVERY)


async def _fails_anyway(path: Path) -> str | None:
    """How a call failed without a drain; None if none did."""
    async with path.channel() as channel:
        for _ in range(CALLS):
            answer = await path.call(channel, UNARY, timeout=PATIENCE)
            if not answer.ok:
                return answer.message or answer.status.name
            await trio.sleep(EVERY)
    return None


def _finding(seen: Observed) -> Finding:
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
        return broken("call-lost", sentence, details=details, silent=seen.silent)
    if seen.failed:
        sentence = (
            f"{len(seen.failed)} of {seen.calls} new calls failed while a server was about to stop: {seen.failed[0]}."
        )
        return broken("new-calls-fail", sentence, details=details)
    sentence = (
        f"A server that was about to stop finished its calls, and all {seen.calls} calls made meanwhile were answered."
    )
    return survived(sentence, details=details)
