"""Connections that break, at every phase of a call and in every way, and connections that dribble.

The clients write HTTP/2 by hand, so that they can stop between any two bytes. The server is a notary, which reports
when each handler ended. Meanwhile a second connection makes calls, and must not notice anything.
"""

import random
import socket
import struct
import time
from dataclasses import dataclass
from typing import Final

import h2.config
import h2.connection
import h2.events
import trio

from echo.pb.com.gopay.echo import Message, Response
from echo.pb.com.gopay.echo.streaming import StreamMessage
from echo.wire.message import encode_message
from tests.soak.callers import GET_REPLY, Outcomes, beside
from tests.soak.processes import SETTLING, Program, running
from tests.soak.program import BIDIRECTIONAL, LOOPBACK, NAME, SERVER_STREAM
from tests.soak.report import Cells, Report, counts, milliseconds
from tests.soak.scale import Scale

AT_ONCE: Final = 20  # Connections that are broken at the same time.
NO_LINGER: Final = struct.pack("ii", 1, 0)
ENDS: Final = ("RST", "FIN", "half FIN")
TEXT: Final = "x" * 200
DRIBBLE_PAUSE: Final = 0.001  # Seconds between two bytes.


@dataclass(frozen=True)
class Phase:
    """Where in a call the connection breaks.

    Attributes:
        name: For people.
        method: What is called.
        sent: How much is sent of preface and SETTINGS, of the head, and of the message: from 0 for nothing to 1.
        half_closes: The message is the last one.
        half: The message's only frame carries the first half of it.
        answers: Responses that are waited for before it breaks.
    """

    name: str
    method: str = BIDIRECTIONAL
    sent: tuple[float, float, float] = (1, 1, 1)
    half_closes: bool = False
    half: bool = False
    answers: int = 0

    @property
    def handled(self) -> bool:
        """A handler runs by then that must hear of it."""
        return self.sent[1] == 1 and self.method != GET_REPLY


PHASES: Final = [
    Phase("before the preface", sent=(0, 0, 0)),
    Phase("within the preface", sent=(0.2, 0, 0)),
    Phase("after SETTINGS", sent=(1, 0, 0)),
    Phase("within the headers", sent=(1, 0.5, 0)),
    Phase("after the headers", sent=(1, 1, 0)),
    Phase("within a message and its frame", sent=(1, 1, 0.5)),
    Phase("within a message, after a frame", half=True),
    Phase("after a message", answers=1),
    Phase("half-closed, responses to come", method=SERVER_STREAM, half_closes=True),
    Phase("while responses flow", method=SERVER_STREAM, half_closes=True, answers=100),
    Phase("after a whole call", method=GET_REPLY, half_closes=True, answers=1),
]


class Client:
    """One connection and one call on it, by hand."""

    def __init__(self, stream: trio.SocketStream, phase: Phase, name: str) -> None:
        self.stream = stream
        self.received = 0  # Bytes of messages.
        self.over = False
        self._h2 = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True, header_encoding="utf-8"))
        self._h2.initiate_connection()
        self._parts = [self._h2.data_to_send()]
        head = [
            (":method", "POST"), (":scheme", "http"), (":authority", "soak.test"), (":path", phase.method),
            ("te", "trailers"), ("content-type", "application/grpc"), (NAME, name),
        ]  # fmt: skip
        self._h2.send_headers(1, head)
        self._parts.append(self._h2.data_to_send())
        message = Message(TEXT) if phase.method == GET_REPLY else StreamMessage(stream_id="a", message=TEXT)
        body = encode_message(bytes(message))
        self._h2.send_data(1, body[: len(body) // 2] if phase.half else body, end_stream=phase.half_closes)
        self._parts.append(self._h2.data_to_send())

    def up_to(self, phase: Phase) -> bytes:
        """The bytes to send before it breaks."""
        return b"".join(part[: round(share * len(part))] for part, share in zip(self._parts, phase.sent, strict=True))

    async def receive(self, size: int = 65_536) -> bool:
        """Take in some bytes, as a sound client does; False at the end."""
        data = await self.stream.receive_some(size)
        for event in self._h2.receive_data(data):
            if isinstance(event, h2.events.DataReceived):
                self.received += len(event.data or b"")
                self._h2.acknowledge_received_data(event.flow_controlled_length or 0, 1)
            elif isinstance(event, h2.events.StreamEnded):
                self.over = True
        if answer := self._h2.data_to_send():
            await self.stream.send_all(answer)
        return bool(data)


async def run(scale: Scale, report: Report) -> None:
    """Break connections, then dribble."""
    noticed = [f"{how}: noticed, median / max ms" for how in ENDS]
    table = report.table("Connections that break", "where", "times", "not ended", *noticed, "meanwhile", "left over")
    async with running("notary") as server:
        empty = await server.holdings()
        async with beside(await server.port(), report, "breaks") as second:
            await second.begun()
            for phase in PHASES:
                table.rows.append(await _break_many(phase, scale, report, server, second))
                if report.broken:
                    return  # It will hardly be better in the other phases, and each would be waited for.
            table.rows.append(await _dribble(scale, report, server, second))
        left = await server.leftovers(empty)
        report.promise(not left, f"breaks: nothing left over at the end ({counts(left)})")
        report.promise(not server.complaints, f"breaks: the server logs no errors ({server.complaints[:3]})")


async def _break_many(phase: Phase, scale: Scale, report: Report, server: Program, second: Outcomes) -> Cells:
    report.progress(f"breaks: {phase.name}")
    port, before, at_once = await server.port(), await server.holdings(), trio.CapacityLimiter(AT_ONCE)
    noticed: list[str] = []
    unended: list[str] = []

    async def one(how: str, name: str, broken: dict[str, float]) -> None:
        async with at_once:
            with trio.move_on_after(SETTLING) as waiting:
                await _break_one(port, phase, how, name, broken, server)
            if waiting.cancelled_caught:
                unended.append(name)

    for how in ENDS:
        broken: dict[str, float] = {}
        async with trio.open_nursery() as nursery:
            for number in range(scale.repeats):
                nursery.start_soon(one, how, f"{how}/{phase.name}/{number}".replace(" ", "-"), broken)
        if phase.handled:
            await server.leaves(*broken)
        unended += [name for name in broken if phase.handled and name not in server.left]
        noticed.append(milliseconds(server.left[name] - broken[name] for name in broken if name in server.left))
    left = await server.leftovers(before)
    report.promise(not unended, f"breaks, {phase.name}: every connection and handler ends ({unended[:3]} did not)")
    report.promise(not left, f"breaks, {phase.name}: nothing left over ({counts(left)})")
    times = len(ENDS) * scale.repeats
    return [phase.name, times, len(unended), *noticed, second.lately, counts(left)]


async def _break_one(port: int, phase: Phase, how: str, name: str, broken: dict[str, float], server: Program) -> None:
    async with await trio.open_tcp_stream(LOOPBACK, port) as stream:
        client = Client(stream, phase, name)
        await stream.send_all(client.up_to(phase))
        if phase.handled:
            await server.enters(name)
        while client.received < phase.answers * len(TEXT) and not client.over:
            assert await client.receive(), f"{name}: the server closed the connection"
        if not phase.handled:
            await trio.sleep(random.uniform(0, 0.01))
        broken[name] = time.monotonic()
        if how == "RST":
            stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, NO_LINGER)
        elif how == "half FIN":
            await stream.send_eof()
            while await stream.receive_some(65_536):  # The server is to close as well, soon.
                pass


async def _dribble(scale: Scale, report: Report, server: Program, second: Outcomes) -> Cells:
    """Whole calls, byte by byte in both directions."""
    report.progress("breaks: one byte at a time")
    port, before = await server.port(), await server.holdings()
    phase = Phase("dribble", method=GET_REPLY, half_closes=True)
    answer = len(encode_message(bytes(Response(success=True, response=f"from server:{TEXT}"))))
    answered = 0

    async def one(name: str) -> None:
        nonlocal answered
        async with await trio.open_tcp_stream(LOOPBACK, port) as stream:
            client = Client(stream, phase, name)
            for byte in client.up_to(phase):
                await stream.send_all(bytes([byte]))
                await trio.sleep(DRIBBLE_PAUSE)
            while not client.over and await client.receive(1):
                pass
            answered += client.received == answer

    async with trio.open_nursery() as nursery:
        for number in range(scale.repeats):
            nursery.start_soon(one, f"dribble/{number}")
    left = await server.leftovers(before)
    failed = scale.repeats - answered
    report.promise(not failed, f"breaks, one byte at a time: every call ends well ({failed} did not)")
    report.promise(not left, f"breaks, one byte at a time: nothing left over ({counts(left)})")
    return [
        "one byte at a time, which is no break",
        scale.repeats,
        failed,
        *("-" for _ in ENDS),
        second.lately,
        counts(left),
    ]
