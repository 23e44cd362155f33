"""`message-size`: how large can a message be, in each direction?

A call with a small reply tests messages to the server, a call with a small request those from the server. If the server
itself refuses a size, which it says, that is its own limit and not the path's.
"""

from dataclasses import dataclass
from typing import Final, TypeVar

import trio

from echo.probe.asking import UNHEEDED
from echo.probe.bisect import KIB, Bounds, narrow, size_in_words
from echo.probe.calls import CLIENT_STREAM, UNARY, Answer
from echo.probe.check import Check, Scheduling
from echo.probe.finding import Finding, JsonValue, inconclusive, limited, survived
from echo.probe.path import Path
from echo.rpc import Limits, Status

T = TypeVar("T")

ASKED: Final = Limits().max_message_size  # What the server accepts.
SMALL: Final = 32 * KIB  # Sizes that tell how fast the path is,
SAMPLE: Final = 256 * KIB  # the second one also over a distance.
LEAST: Final = 512  # A size that must get through, and fits into a packet.
PACKETS: Final = 2 * KIB  # A size that does not.
PRECISION: Final = 256  # The bounds may differ by the smaller divided by this,
FINEST: Final = 1 * KIB  # or by this many bytes.
LOSES_PACKETS: Final = "packets"
_WORDS: Final = {"request": "to the server", "response": "from the server"}


@dataclass
class Direction:
    """What is known about one direction.

    Attributes:
        kind: ``request`` or ``response``.
        bounds: The sizes that got through and that did not.
        came: How the first call ended whose message did not get through.
        own: Whether the server itself refused that message.
        unlike: Even the smallest size did not get through, or the server did not do as asked.
        late: Whether that first message ran out of time instead of failing.
        patience: Seconds that the largest message may take.
        seconds: How long the largest message took that got through.
    """

    kind: str
    bounds: Bounds
    came: str = ""
    late: bool = False
    patience: float = 0.0
    seconds: float = 0.0
    own: bool = False
    unlike: bool = False

    @property
    def limited(self) -> bool:
        """Whether the path's limit is below what was asked for."""
        return not (self.unlike or self.own) and self.bounds.fits < ASKED

    @property
    def slow(self) -> bool:
        """Whether a larger message ran out of time, or would have at the speed of those that got through."""
        too_long = self.late and self.seconds * ASKED > self.patience / 2 * self.bounds.fits
        return self.limited and (too_long or not self.came)

    @property
    def one_packet(self) -> bool:
        """Whether whatever needs more than one packet is lost without notice, so that packets of full size are."""
        return self.late and self.bounds.fails <= PACKETS

    @property
    def what(self) -> str:
        """Its messages, in words."""
        return f"messages {_WORDS[self.kind]}"


class MessageSize(Check):
    """Tries the largest message that the server accepts, both ways, and narrows down what gets through."""

    name = "message-size"
    question = "How large can a message be, in each direction?"
    scheduling = Scheduling.ALONE
    large = True
    patience = 45.0
    causes = ("request", "response", LOSES_PACKETS)

    async def run(self, path: Path) -> Finding:  # noqa: D102 - as in Check
        ways = [Direction(kind, Bounds(0, ASKED + 1)) for kind in _WORDS]
        within = 3.5 if path.budget.quick else 20.0  # Seconds for each way.
        for way in ways:
            way.patience = 0.75 * within
            with trio.move_on_after(within):
                await self._explore(path, way, min(within / 3, 2.5))
        return _finding(ways, quick=path.budget.quick)

    async def _explore(self, path: Path, way: Direction, within: float) -> None:
        if not await self._fits(path, way, LEAST, way.patience):
            way.unlike = True
            return
        way.bounds.fits = LEAST
        latency, pace = way.seconds, 0.0  # Seconds for a call, and for each byte of its message.
        for largest in (PACKETS, SMALL, SAMPLE, ASKED):
            size = largest
            while latency + pace * size > way.patience:  # A slow path is not a limit; less may still show one.
                size //= 2
            if size <= way.bounds.fits:
                return
            if not await self._fits(path, way, size, way.patience):
                break
            way.bounds.fits = size
            pace = max(way.seconds - latency, 0.0) / size if size > PACKETS else 0.0
        else:
            return
        if size > SAMPLE and way.slow:
            return
        way.bounds.fails = size
        if way.one_packet:
            return

        async def fits(size: int) -> bool:
            return await self._fits(path, way, size, within)

        while way.bounds.fails - way.bounds.fits > (precision := max(FINEST, way.bounds.fits // PRECISION)):
            await narrow(way.bounds, fits, precision=precision, rounds=1)

    async def _fits(self, path: Path, way: Direction, size: int, within: float) -> bool:
        async with path.channel() as channel:
            if way.kind == "request":
                message = CLIENT_STREAM.message("")
                message.message = "m" * (size - len(bytes(message)) - _head(size))
                summary = await path.call(channel, CLIENT_STREAM, messages=[message], timeout=within)
                return await self._note(path, way, summary, fit=summary.ok)
            answer = await path.call(channel, UNARY, {"size": f"{size}B"}, timeout=within)
            whole = any(len(bytes(reply)) >= size - 1 for reply in answer.replies)
            return await self._note(path, way, answer, fit=answer.ok and whole)

    async def _note(self, path: Path, way: Direction, answer: Answer[T], *, fit: bool) -> bool:
        if fit:
            way.seconds = answer.seconds
        elif not way.came:
            way.came = answer.message or answer.status.name
            way.late = answer.status is Status.DEADLINE_EXCEEDED
            way.own = await self._refused_by_server(path, answer)
        return fit

    async def _refused_by_server(self, path: Path, answer: Answer[T]) -> bool:
        if answer.status is Status.INVALID_ARGUMENT and "x-echo-size" in answer.message:
            return True
        if answer.status is not Status.RESOURCE_EXHAUSTED:
            return False
        records = await path.evidence(answer.call_id, within=0.5)
        return any(record.status == "RESOURCE_EXHAUSTED" for record in records or [])


def _head(size: int) -> int:
    """The octets before a text that fills a message of this size: its field's tag, and its length."""
    return 1 + max(1, (size.bit_length() + 6) // 7)


def _finding(ways: list[Direction], *, quick: bool) -> Finding:
    details: dict[str, JsonValue] = {way.kind: way.bounds.fits for way in ways if not way.unlike}
    lost = [way for way in ways if way.one_packet]
    if lost:
        told = " and ".join(way.what for way in lost)
        sentence = (
            f"{told[0].upper()}{told[1:]} arrive only if they fit into one packet: larger packets are lost on the way "
            "(lower the MTU of the tunnel or VPN, limit the MSS of its connections, or let ICMP pass)."
        )
        limit = min(way.bounds.fits for way in lost)
        return limited(LOSES_PACKETS, sentence, limit=limit, unit="bytes", details=details, silent=True)
    short = [way for way in ways if way.limited and not way.slow]
    if short:
        least = min(short, key=lambda way: way.bounds.fits)
        told = " and ".join(f"{way.what} get through up to {size_in_words(way.bounds.fits)}" for way in short)
        sentence = f"{told}, while the server accepts {size_in_words(ASKED)}; a larger one fails: {least.came}."
        return limited(
            least.kind,
            sentence[0].upper() + sentence[1:],
            limit=least.bounds.fits,
            unit="bytes",
            details=details,
            silent=all(way.late for way in short),
        )
    slow = [way for way in ways if way.slow]
    if slow:
        way = slow[0]
        size = size_in_words(way.bounds.fits)
        so_far = f"{size} took {way.seconds:.1f} s" if way.bounds.fits else "there was no time for anything larger"
        asked = size_in_words(ASKED) + (" with --quick" if quick else "")
        return inconclusive(f"The path is too slow to try {asked}: {so_far}.", details=details)
    unlike = [way for way in ways if way.unlike]
    if unlike and unlike[0].came == Status.OK.name:
        return inconclusive(UNHEEDED, details=details)
    if unlike:
        sentence = f"Small {unlike[0].what} do not get through as asked ({unlike[0].came}), so no limit could be found."
        return inconclusive(sentence, details=details)
    least_of_all = min(way.bounds.fits for way in ways)
    own = ", which is the server's own limit" if any(way.own for way in ways) else ""
    return survived(
        f"Messages of up to {size_in_words(least_of_all)} get through in each direction{own}.",
        limit=least_of_all,
        unit="bytes",
        details=details,
    )
