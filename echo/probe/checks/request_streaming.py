"""`request-streaming`: does the server see each message when it is sent?

We send a few messages one by one, and the server says when each arrived. If they arrived together, we send large ones
to find out whether a buffer has to fill, or we have to half-close.
"""

from dataclasses import dataclass
from typing import Final

import trio

from echo.pb.com.gopay.echo.streaming import StreamMessage, StreamResponse
from echo.probe.calls import CLIENT_STREAM
from echo.probe.check import Check
from echo.probe.evidence import Record
from echo.probe.finding import Finding, broken, inconclusive, survived
from echo.probe.path import Path
from echo.probe.rhythm import in_lumps, kib, longest_wait
from echo.rpc import Channel, ClientStream, GRPCError, StreamTerminatedError

MESSAGES: Final = 6
INTERVAL: Final = 0.2  # Seconds between them.
ROUNDS: Final = 2  # A busy machine may hold messages back once.
STEP: Final = 16 * 1024  # Bytes of a large message,
STEPS: Final = 24  # and how many of them are sent.
PATIENCE: Final = 2.0  # Seconds for the call to end after its last message.


@dataclass(frozen=True)
class Round:
    """One call.

    Attributes:
        arrived: When each message arrived at the server, in seconds.
        waited: Seconds from our first message to our half-close.
    """

    arrived: list[float]
    waited: float


class RequestStreaming(Check):
    """Sends messages one by one, and asks the server when each of them arrived."""

    name = "request-streaming"
    patience = 12.0
    question = "Does the server see each message when it is sent?"
    causes = ("held-to-end", "held-in-lumps")

    async def run(self, path: Path) -> Finding:  # noqa: D102 - as in Check
        async with path.channel() as channel:
            for _ in range(ROUNDS):
                seen = await _round(path, channel)
                if seen is None:
                    return inconclusive(f"It is not known when the messages reached the server{path.hint}.")
                if not in_lumps(seen.arrived, INTERVAL):
                    return survived("The server sees each message as soon as it is sent.")
            assert seen is not None
            wait = longest_wait(seen.arrived)
            if wait > INTERVAL:  # Too few bytes to fill a buffer: a timer has released them.
                what = f"Our messages, sent {INTERVAL:g} s apart, reach the server in lumps every {wait:.1f} s."
                return broken("held-in-lumps", what, details={"seconds": round(wait, 3)})
            buffer = await _buffer(path, channel)
        details = {"buffer": buffer}
        if buffer is not None:
            what = f"The path holds our messages back until about {kib(buffer)} have accumulated."
            return broken("held-in-lumps", what, details=details)
        what = f"The path holds our messages back until we have sent the last one, {seen.waited:.1f} s in this case."
        return broken("held-to-end", what, details=details)


async def _round(path: Path, channel: Channel) -> Round | None:
    """Send messages one by one, then half-close; None if what the server saw could not be fetched."""
    call_id = path.new_call_id()
    began = trio.current_time()
    try:
        async with path.request(channel, CLIENT_STREAM, call_id=call_id, timeout=20.0) as stream:
            await stream.send_request()
            for _ in range(MESSAGES):
                await stream.send_message(CLIENT_STREAM.message("hi"))
                await trio.sleep(INTERVAL)
            ended = await _end(stream)
    except (GRPCError, StreamTerminatedError):
        return None
    record = _latest(await path.evidence(call_id))
    if record is None or record.messages_in < MESSAGES:
        return None
    return Round([at / 1e9 for at in record.message_times_in], ended - began)


async def _end(stream: ClientStream[StreamMessage, StreamResponse]) -> float:
    """Half-close, and wait for the reply or cancel the call; returns when we had sent everything."""
    ended = trio.current_time()
    await stream.end()
    with trio.move_on_after(PATIENCE) as patience:
        await stream.recv_message()
    if patience.cancelled_caught:
        await stream.cancel()
    return ended


async def _buffer(path: Path, channel: Channel) -> int | None:
    """Bytes that we had to send before the server saw the first message; None if it saw none before our half-close."""
    call_id = path.new_call_id()
    message = CLIENT_STREAM.message("x" * STEP)
    times: list[float] = []
    try:
        async with path.request(channel, CLIENT_STREAM, call_id=call_id, timeout=20.0) as stream:
            await stream.send_request()
            with trio.move_on_after(PATIENCE):
                for _ in range(STEPS):
                    await stream.send_message(message)
                    times.append(trio.current_time())
                    await trio.sleep(0.05)
            ended = await _end(stream)
    except (GRPCError, StreamTerminatedError):
        return None
    record = _latest(await path.evidence(call_id))
    if record is None or record.half_closed is None or not record.message_times_in:
        return None
    early = (record.half_closed - record.message_times_in[0]) / 1e9  # Seconds from its arrival to our half-close.
    if early < 0.1:
        return None
    return STEP * max(1, sum(at <= ended - early + 0.02 for at in times))


def _latest(records: list[Record] | None) -> Record | None:
    return records[-1] if records else None
