"""Hand-written HTTP/2 over real TCP: a peer that sends any frames a test chooses, and records what it receives."""

from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from functools import partial

import hpack
import trio
from hyperframe.frame import (
    ContinuationFrame,
    DataFrame,
    Frame,
    GoAwayFrame,
    HeadersFrame,
    PingFrame,
    RstStreamFrame,
    SettingsFrame,
)

from tests.support.pair import PREFACE
from tests.support.serving import LOOPBACK

Fields = Iterable[tuple[str, str]]

PATIENCE = 30.0  # The longest wait in seconds of the test's clock; no wait should come near it.
MAX_FRAME = 16_384  # RFC 9113 §6.5.2
SETTINGS = SettingsFrame(0).serialize()
SETTINGS_ACK = SettingsFrame(0, flags=["ACK"]).serialize()


@dataclass
class Heard:
    """What arrived on one stream: header lists, DATA, and how it ended."""

    heads: list[dict[str, str]] = field(default_factory=list)
    data: bytes = b""
    ended: bool = False
    reset: int | None = None

    @property
    def over(self) -> bool:
        return self.ended or self.reset is not None

    @property
    def fields(self) -> dict[str, str]:
        """The fields of all header lists."""
        return {name: value for head in self.heads for name, value in head.items()}


class RawConnection:
    """One end of a connection. It answers nothing by itself.

    Attributes:
        streams: What was heard, by stream.
        kinds: How many frames came, by the names of their kinds.
        settings: What the peer has announced.
        goaways: The GOAWAY frames that came.
        pings: What the peer's PINGs hold.
        closed: The peer has closed the connection;
        broken: not in good order, but by a reset.
        deaf: From now on, nothing is read until that is taken back.
    """

    def __init__(self, stream: trio.abc.Stream) -> None:
        self.streams: dict[int, Heard] = {}
        self.kinds: Counter[str] = Counter()
        self.settings: dict[int, int] = {}
        self.goaways: list[GoAwayFrame] = []
        self.pings: list[bytes] = []
        self.closed = self.broken = False
        self._listening = trio.Event()
        self._listening.set()
        self._stream = stream
        self._encoder = hpack.Encoder()
        self._decoder = hpack.Decoder()
        self._came = trio.Event()

    @property
    def deaf(self) -> bool:
        return not self._listening.is_set()

    @deaf.setter
    def deaf(self, deaf: bool) -> None:
        if deaf:
            self._listening = trio.Event()
        else:
            self._listening.set()

    def head(self, stream_id: int, fields: Fields, *, end: bool = False) -> bytes:
        """HEADERS, with CONTINUATION as needed."""
        fields = list(fields)
        small = sum(len(value) for _, value in fields) < 5_000  # Huffman coding of long texts is slow.
        block = self._encoder.encode(fields, huffman=small)
        first = HeadersFrame(stream_id, data=block[:MAX_FRAME], flags=["END_STREAM"] if end else [])
        starts = range(MAX_FRAME, len(block), MAX_FRAME)
        rest = (ContinuationFrame(stream_id, data=block[start : start + MAX_FRAME]) for start in starts)
        frames: list[Frame] = [first, *rest]
        frames[-1].flags.add("END_HEADERS")
        return b"".join(frame.serialize() for frame in frames)

    async def send(self, *parts: Frame | bytes) -> None:
        """Send frames or bytes. It is not an error if the peer has closed the connection."""
        data = b"".join(part if isinstance(part, bytes) else part.serialize() for part in parts)
        with suppress(trio.BrokenResourceError, trio.ClosedResourceError):
            await self._stream.send_all(data)

    async def close(self) -> None:
        """Close the connection without a GOAWAY."""
        await self._stream.aclose()

    @property
    def complete(self) -> int:
        """The number of streams that the peer has ended."""
        return sum(heard.over for heard in self.streams.values())

    async def came(self, happened: Callable[[], object]) -> bool:
        """Wait until the condition holds, which returns True, or the peer has closed. There is no time limit."""
        while not (self.closed or happened()):
            await self._came.wait()
        return not self.closed

    async def until(self, happened: Callable[[], object]) -> None:
        """Wait until the condition holds. It is checked whenever something has arrived."""
        with trio.fail_after(PATIENCE):
            while not happened():
                assert not self.closed, f"the peer closed, having said {self.goaways[-1:]}"
                await self._came.wait()

    async def heard(self, stream_id: int) -> Heard:
        """The whole stream, once it has ended."""
        await self.until(lambda: stream_id in self.streams and self.streams[stream_id].over)
        return self.streams[stream_id]

    async def goaway(self) -> GoAwayFrame:
        """The last GOAWAY before the peer closed the connection, which it must do."""
        await self.until_closed()
        return self.goaways[-1]

    async def until_closed(self) -> None:
        """Wait until the peer closes the connection."""
        await self.until(lambda: self.closed)

    async def pause(self) -> None:
        """Wait for the reply to a PING, by which time the peer has processed what was sent before."""
        answered = self.kinds["Ping"]
        await self.send(PingFrame(0, opaque_data=b"a moment"))
        await self.until(lambda: self.kinds["Ping"] > answered or self.closed)
        await trio.lowlevel.checkpoint()  # Tasks that it started before replying run in this turn of the loop.

    async def listen(self, *, preface: bool = False) -> None:
        """Record what arrives until the peer closes. A client sends the ``preface`` first."""
        buffer = bytearray()
        while True:
            await self._listening.wait()
            try:
                data = await self._stream.receive_some(65_536)
            except (trio.BrokenResourceError, trio.ClosedResourceError):
                data, self.broken = b"", True
            if not data:
                break
            buffer += data
            if preface and len(buffer) >= len(PREFACE):
                del buffer[: len(PREFACE)]
                preface = False
            while not preface and len(buffer) >= 9:
                frame, size = Frame.parse_frame_header(memoryview(bytes(buffer[:9])))
                if len(buffer) < 9 + size:
                    break
                frame.parse_body(memoryview(bytes(buffer[9 : 9 + size])))
                del buffer[: 9 + size]
                self._note(frame)
            self._wake()
        self.closed = True
        self._wake()

    def _wake(self) -> None:
        self._came.set()
        self._came = trio.Event()

    def _note(self, frame: Frame) -> None:
        self.kinds[type(frame).__name__.removesuffix("Frame")] += 1
        stream = self.streams.setdefault(frame.stream_id, Heard()) if frame.stream_id else Heard()
        if isinstance(frame, HeadersFrame):
            assert "END_HEADERS" in frame.flags, "none of our answers is so long"
            stream.heads.append({str(name): str(value) for name, value in self._decoder.decode(frame.data)})
        elif isinstance(frame, DataFrame):
            stream.data += frame.data
        elif isinstance(frame, RstStreamFrame):
            stream.reset = frame.error_code
        elif isinstance(frame, SettingsFrame):
            self.settings |= frame.settings
        elif isinstance(frame, GoAwayFrame):
            self.goaways.append(frame)
        elif isinstance(frame, PingFrame) and "ACK" not in frame.flags:
            self.pings.append(frame.opaque_data)
        if isinstance(frame, (HeadersFrame, DataFrame)) and "END_STREAM" in frame.flags:
            stream.ended = True


@asynccontextmanager
async def raw_client(port: int, *, begin: bytes = PREFACE + SETTINGS + SETTINGS_ACK) -> AsyncIterator[RawConnection]:
    """A client of the server on this port that has sent these bytes first. Leaving the block closes the connection."""
    async with await trio.open_tcp_stream(LOOPBACK, port) as stream, trio.open_nursery() as nursery:
        connection = RawConnection(stream)
        nursery.start_soon(connection.listen)
        await connection.send(begin)
        yield connection
        nursery.cancel_scope.cancel()


Behave = Callable[[RawConnection, int], Awaitable[None]]


@asynccontextmanager
async def raw_server(behave: Behave, *, begin: bytes = SETTINGS + SETTINGS_ACK) -> AsyncIterator[int]:
    """A server that handles each stream as the test says, one after the other, once the client has half-closed it.

    Leaving the block closes everything.
    """

    async def serve(stream: trio.SocketStream) -> None:
        connection = RawConnection(stream)
        served: list[int] = []
        async with stream, trio.open_nursery() as nursery:
            nursery.start_soon(partial(connection.listen, preface=True))
            await connection.send(begin)
            while await connection.came(lambda: connection.complete > len(served)):
                served.append(sorted(connection.streams)[len(served)])
                await behave(connection, served[-1])

    async with trio.open_nursery() as nursery:
        listeners = await trio.open_tcp_listeners(0, host=LOOPBACK)
        nursery.start_soon(trio.serve_listeners, serve, listeners)
        yield listeners[0].socket.getsockname()[1]
        nursery.cancel_scope.cancel()
