"""`ws-messages`, against hops that change, reorder, lose or cap messages."""

from collections.abc import Iterable

import pytest
import trio

from echo.probe.budget import Pace
from echo.probe.checks.ws_messages import WsMessages
from echo.probe.finding import Outcome
from tests.probe.gateway_paths import finding_of
from tests.probe.web_relays import Bare, WebFault, WebLine
from tests.support.frames import BINARY, CLOSE, CONTINUATION, TEXT
from tests.support.quiet_clock import QuietClock

CAP = 100_000


class CapToServer(WebFault):
    """Closes for what is too large."""

    async def to_server(self, line: WebLine, frame: Bare) -> Iterable[Bare]:
        if len(frame.payload) <= CAP:
            return [frame]
        await line.to_client(Bare(CLOSE, (1009).to_bytes(2) + b"too much"))
        line.close()
        return []


class CapToClient(WebFault):
    """Hangs up on what is too large."""

    async def to_client(self, line: WebLine, frame: Bare) -> Iterable[Bare]:
        if len(frame.payload) <= CAP:
            return [frame]
        line.close()
        return []


class SwallowLarge(WebFault):
    """Loses what is too large."""

    async def to_server(self, line: WebLine, frame: Bare) -> Iterable[Bare]:
        return [] if len(frame.payload) > CAP else [frame]


class Slow(WebFault):
    """Carries a MiB a second each way, and all of it."""

    async def to_server(self, line: WebLine, frame: Bare) -> Iterable[Bare]:
        await trio.sleep(len(frame.payload) / 2**20)
        return [frame]

    async def to_client(self, line: WebLine, frame: Bare) -> Iterable[Bare]:
        return await self.to_server(line, frame)


class Twice(WebFault):
    """Sends everything twice."""

    async def to_server(self, line: WebLine, frame: Bare) -> Iterable[Bare]:
        return [frame, frame] if frame.opcode == TEXT and frame.fin else [frame]


class Refragment(WebFault):
    """Cuts frames in two, as any hop may (RFC 6455 §5.4)."""

    async def to_client(self, line: WebLine, frame: Bare) -> Iterable[Bare]:
        if frame.opcode != TEXT or len(frame.payload) < 2:
            return [frame]
        head, tail = frame.payload[:20], frame.payload[20:]
        return [Bare(TEXT, head, fin=False), Bare(CONTINUATION, tail, fin=frame.fin)]


class Swap(WebFault):
    """Lets the second message pass the first if they come close together."""

    def __init__(self) -> None:
        self.held: dict[int, Bare] = {}

    async def to_server(self, line: WebLine, frame: Bare) -> Iterable[Bare]:
        if frame.opcode != TEXT or not frame.fin:
            return [frame]
        held = self.held.pop(id(line), None)
        if held is not None:
            return [frame, held]
        self.held[id(line)] = frame
        line.nursery.start_soon(self.release, line, frame)
        return []

    async def release(self, line: WebLine, frame: Bare) -> None:
        await trio.sleep(0.01)
        if self.held.get(id(line)) is frame:
            del self.held[id(line)]
            await line.to_server(frame)


class Join(WebFault):
    """Joins two messages that come close together."""

    def __init__(self) -> None:
        self.swap = Swap()

    async def to_server(self, line: WebLine, frame: Bare) -> Iterable[Bare]:
        came = list(await self.swap.to_server(line, frame))
        return [Bare(TEXT, came[1].payload + came[0].payload)] if len(came) == 2 else came


class SpoilUnicode(WebFault):
    async def to_client(self, line: WebLine, frame: Bare) -> Iterable[Bare]:
        if frame.opcode != TEXT:
            return [frame]
        return [Bare(TEXT, frame.payload.decode(errors="replace").encode("ascii", "replace"), frame.fin)]


class TextOnly(WebFault):
    """Makes text of everything."""

    async def to_server(self, line: WebLine, frame: Bare) -> Iterable[Bare]:
        return [Bare(TEXT, frame.payload, frame.fin)] if frame.opcode == BINARY else [frame]


class LoseEmpty(WebFault):
    async def to_server(self, line: WebLine, frame: Bare) -> Iterable[Bare]:
        return [] if frame.opcode == TEXT and not frame.payload else [frame]


class FramesAsMessages(WebFault):
    """Takes each frame for a message."""

    async def to_server(self, line: WebLine, frame: Bare) -> Iterable[Bare]:
        return [Bare(TEXT if frame.opcode == CONTINUATION else frame.opcode, frame.payload)]


@pytest.mark.parametrize("fault", [WebFault(), Refragment()], ids=["clean", "refragment"])
async def test_a_path_that_keeps_messages_whole_survives(fault: WebFault) -> None:
    finding = await finding_of(WsMessages(), fault)
    assert finding.outcome is Outcome.SURVIVED
    assert (finding.limit, finding.unit) == (4 * 2**20 - 1024, "bytes")


async def test_a_clean_path_survives_without_a_way_around_it() -> None:
    assert (await finding_of(WsMessages(), direct=False)).outcome is Outcome.SURVIVED


async def test_a_cap_on_messages_to_the_server_is_found() -> None:
    finding = await finding_of(WsMessages(), CapToServer())
    assert (finding.outcome, finding.cause, finding.unit) == (Outcome.LIMITED, "size", "bytes")
    assert finding.limit is not None
    assert 0.97 * CAP <= finding.limit <= CAP
    assert "pass to the server up to about" in finding.sentence
    assert "closed with code 1009 and the reason “too much”" in finding.sentence


async def test_a_cap_on_messages_to_us_is_found() -> None:
    finding = await finding_of(WsMessages(), CapToClient())
    assert (finding.outcome, finding.cause) == (Outcome.LIMITED, "size")
    assert finding.limit is not None
    assert 0.97 * CAP <= finding.limit <= CAP
    assert "pass to us up to about" in finding.sentence


async def test_large_messages_that_are_swallowed_are_found_out(quiet_clock: QuietClock) -> None:
    finding = await finding_of(WsMessages(), SwallowLarge())
    assert (finding.outcome, finding.cause) == (Outcome.LIMITED, "size")
    assert finding.limit is not None
    assert 0.6 * CAP <= finding.limit <= CAP


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (Swap(), "in another order"),
        (Join(), "cut, joined or changed"),
        (Twice(), "came back twice"),
        (SpoilUnicode(), "what came back was changed"),
        (TextOnly(), "bytes that are not text"),
        (FramesAsMessages(), "Fragmented WebSocket messages"),
    ],
    ids=["swap", "join", "twice", "spoil", "text-only", "frames"],
)
async def test_what_is_changed_is_reported(fault: WebFault, words: str) -> None:
    finding = await finding_of(WsMessages(), fault)
    assert (finding.outcome, finding.cause) == (Outcome.BROKEN, "altered")
    assert words in finding.sentence


async def test_lost_empty_messages_are_reported(quiet_clock: QuietClock) -> None:
    finding = await finding_of(WsMessages(), LoseEmpty())
    assert (finding.outcome, finding.cause) == (Outcome.BROKEN, "altered")
    assert finding.sentence.startswith("Empty WebSocket messages do not pass")


async def test_a_slow_path_is_not_a_limit(quiet_clock: QuietClock) -> None:
    assert (await finding_of(WsMessages(), Slow(), pace=Pace.DEFAULT)).outcome is Outcome.SURVIVED


async def test_where_there_is_no_time_for_large_messages_nothing_is_claimed(quiet_clock: QuietClock) -> None:
    finding = await finding_of(WsMessages(), Slow())
    assert finding.outcome is Outcome.INCONCLUSIVE
    assert "at the speed of 512 KiB it would take 8 s" in finding.sentence
