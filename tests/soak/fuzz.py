"""Ten million bytes of nonsense for each protocol that echo speaks: nobody else notices, and no process ends.

What is sent begins as a client's side of a sound conversation, in which bytes are changed, lost, doubled, moved and
made up, so that much of it gets past the first look. Each conversation is cut into pieces at random. The seed is
fixed: the same run sends the same bytes.
"""

import base64
import random
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import Final

import h2.config
import h2.connection
import h2.settings
import trio

from echo.pb.com.gopay.echo.streaming import StreamMessage
from echo.wire.message import encode_message
from tests.soak.processes import ANYWHERE, GATEWAY, SERVE, Program, running
from tests.soak.program import LOOPBACK
from tests.soak.report import Report, counts
from tests.soak.scale import Scale
from tests.soak.web import WebClient, opened
from tests.support.faults import UPGRADE
from tests.support.frames import BINARY, CONTINUATION, PING, TEXT, close, fragments, frame

AT_ONCE: Final = 8  # Conversations.
SILENCE: Final = 0.02  # Seconds without a byte after which a conversation is over.
PIECES: Final = 6  # In how many a conversation comes, at most.

MESSAGE: Final = b'{"stream_id":"a","message":"hi"}'
STREAM: Final = "com.gopay.echo.streaming.StreamingServer/BidirectionalStream"
ENVELOPE: Final = encode_message(bytes(StreamMessage(stream_id="a", message="hi")))
JSON_ENVELOPE: Final = encode_message(MESSAGE)


def _http1(target: str, *headers: str, body: bytes = b"", method: str = "POST") -> bytes:
    lines = [f"{method} {target} HTTP/1.1", "Host: gateway.test", *headers, f"Content-Length: {len(body)}", "", ""]
    return "\r\n".join(lines).encode() + body


def _http2(*requests: tuple[Sequence[tuple[str, str]], bytes]) -> bytes:
    config = h2.config.H2Configuration(validate_outbound_headers=False)
    connection = h2.connection.H2Connection(config)
    connection.initiate_connection()
    connection.update_settings({h2.settings.SettingCodes.ENABLE_CONNECT_PROTOCOL: 0})
    connection.ping(b"12345678")
    for head, body in requests:
        stream_id = connection.get_next_available_stream_id()
        connection.send_headers(stream_id, head)
        connection.prioritize(stream_id, weight=7)
        for start in range(0, len(body), 20):
            connection.send_data(stream_id, body[start : start + 20])
        connection.end_stream(stream_id)
        connection.increment_flow_control_window(10, stream_id)
    return connection.data_to_send()


def _post(path: str, content_type: str) -> list[tuple[str, str]]:
    own = [(":method", "POST"), (":scheme", "http"), (":authority", "gateway.test"), (":path", path)]
    return [*own, ("content-type", content_type), ("te", "trailers"), ("x-note", "a" * 50)]


CONNECT: Final = [
    *((":method", "CONNECT"), (":protocol", "websocket"), (":scheme", "http"), (":authority", "gateway.test")),
    *((":path", "/ws/stream/bidirectional"), ("sec-websocket-version", "13")),
]
FRAMES: Final = b"".join(
    [
        *(frame(TEXT, MESSAGE), frame(BINARY, MESSAGE), frame(PING, b"ping"), frame(TEXT, b"nonsense")),
        *(fragments(MESSAGE[:5], b"", MESSAGE[5:], opcode=TEXT), frame(CONTINUATION, b""), close(1000, b"bye")),
    ]
)

CONVERSATIONS: Final[dict[str, list[bytes]]] = {
    "HTTP/1.1": [
        _http1("/grpc/hi", method="GET") * 3,
        _http1("/readyz", "Connection: close", method="GET"),
        _http1("/healthz", "Transfer-Encoding: chunked", "Expect: 100-continue") + b"5\r\nhello\r\n0\r\n\r\n",
    ],
    "WebSocket": [UPGRADE + FRAMES * 3, UPGRADE.replace(b"bidirectional", b"client") + FRAMES],
    "HTTP/2": [_http2(*3 * [(_post("/grpc/hi", "text/plain"), b"x" * 50)])],
    "WebSocket over HTTP/2": [_http2((CONNECT, FRAMES), (CONNECT, FRAMES))],
    "gRPC-Web": [
        _http1(f"/{STREAM}", "Content-Type: application/grpc-web+proto", body=ENVELOPE * 5),
        _http1(f"/{STREAM}", "Content-Type: application/grpc-web-text", body=base64.b64encode(ENVELOPE * 5)),
        _http2((_post(f"/{STREAM}", "application/grpc-web"), ENVELOPE * 5)),
    ],
    "Connect": [
        _http1("/com.gopay.echo.Server/GetReply", "Content-Type: application/json", body=b'{"message":"hi"}'),
        _http1(f"/{STREAM}", "Content-Type: application/connect+proto", body=ENVELOPE * 5),
        _http2((_post(f"/{STREAM}", "application/connect+json"), JSON_ENVELOPE)),
    ],
    "gRPC": [_http2(*3 * [(_post(f"/{STREAM}", "application/grpc"), ENVELOPE * 5)])],
}
"""What clients say when they mean well."""


def garble(sound: bytes, chance: random.Random) -> bytes:
    """The same with a few things wrong with it; now and then with nothing wrong, or with everything."""
    if chance.random() < 0.05:
        return chance.randbytes(chance.randrange(1, 2_000))
    data = bytearray(sound)
    for _ in range(chance.choice((0, 1, 1, 2, 3, 10))):
        at, size = chance.randrange(len(data) + 1), chance.randrange(1, 30)
        WAYS[chance.randrange(len(WAYS))](data, at, size, chance)
    return bytes(data)


def _change(data: bytearray, at: int, size: int, chance: random.Random) -> None:
    for index in range(at, min(at + chance.choice((1, 1, 4)), len(data))):
        data[index] ^= 1 << chance.randrange(8)


def _lose(data: bytearray, at: int, size: int, chance: random.Random) -> None:
    del data[at : at + size]


def _double(data: bytearray, at: int, size: int, chance: random.Random) -> None:
    data[at:at] = data[at : at + size] * chance.choice((1, 1, 1, 50))


def _invent(data: bytearray, at: int, size: int, chance: random.Random) -> None:
    data[at:at] = chance.choice((chance.randbytes(size), b"\xff" * size, b"\x00" * size, b"\r\n", b"0" * size))


def _move(data: bytearray, at: int, size: int, chance: random.Random) -> None:
    part = data[at : at + size]
    del data[at : at + size]
    to = chance.randrange(len(data) + 1)
    data[to:to] = part


WAYS: Final[list[Callable[[bytearray, int, int, random.Random], None]]] = [_change, _lose, _double, _invent, _move]


async def run(scale: Scale, report: Report) -> None:
    """Talk nonsense to a gateway and to a server, protocol by protocol."""
    table = report.table("Fuzz", "protocol", "bytes", "conversations", "answered", "meanwhile", "left over")
    async with running(*SERVE, "--grpc-server-port", "0") as server:
        port = await server.port()
        async with running(*GATEWAY, *ANYWHERE, "--grpc-server-port", str(port)) as gateway:
            await _beside(gateway)  # Its channel to the server is there from now on.
            for number, (protocol, sound) in enumerate(CONVERSATIONS.items()):
                program = server if protocol == "gRPC" else gateway
                empty = await program.holdings()
                talk = _Talk(await program.port(), sound, scale.fuzz, random.Random(number))
                await talk.run(gateway, partial(_tell, report, protocol))
                left = await program.leftovers(empty)
                table.rows.append([protocol, talk.sent, talk.conversations, talk.answered, talk.beside, counts(left)])
                report.promise(talk.sent >= scale.fuzz, f"fuzz, {protocol}: all was sent")
                report.promise(not left, f"fuzz, {protocol}: nothing left over ({counts(left)})")
            for name, program in (("server", server), ("gateway", gateway)):
                report.promise(not program.complaints, f"fuzz: the {name} logs no errors ({program.complaints[:3]})")


def _tell(report: Report, protocol: str, sent: int) -> None:
    report.progress(f"fuzz, {protocol}: {sent:,} bytes")


class _Talk:
    """Conversations with one port.

    Attributes:
        sent: Bytes, so far.
        conversations: How many there were,
        answered: and how many of them got an answer.
        beside: How often another client asked meanwhile, and got the right answer.
    """

    def __init__(self, port: int, sound: list[bytes], size: int, chance: random.Random) -> None:
        self.sent = 0
        self.conversations = 0
        self.answered = 0
        self.beside = 0
        self._port = port
        self._sound = sound
        self._size = size
        self._chance = chance

    async def run(self, gateway: Program, progress: Callable[[int], None]) -> None:
        """Have them all, while somebody else goes on as if nothing were the matter.

        Raises:
            AssertionError, OSError, EOFError: That one did not get its answer.
        """
        async with trio.open_nursery() as nursery:

            async def all_of_them() -> None:
                async with trio.open_nursery() as talkers:
                    for _ in range(AT_ONCE):
                        talkers.start_soon(self._go_on)
                nursery.cancel_scope.cancel()

            nursery.start_soon(all_of_them)
            while True:
                with trio.CancelScope(shield=True), trio.fail_after(30):
                    await _beside(gateway)
                self.beside += 1
                progress(self.sent)
                await trio.sleep(0.2)

    async def _go_on(self) -> None:
        while self.sent < self._size:
            data = garble(self._chance.choice(self._sound), self._chance)
            self.sent += len(data)
            self.conversations += 1
            with suppress(OSError, trio.BrokenResourceError):
                async with await trio.open_tcp_stream(LOOPBACK, self._port) as stream:
                    if await self._talk(stream, data):
                        self.answered += 1

    async def _talk(self, stream: trio.SocketStream, data: bytes) -> bool:
        cuts = sorted(self._chance.randrange(len(data) + 1) for _ in range(self._chance.randrange(PIECES)))
        for start, end in zip([0, *cuts], [*cuts, len(data)], strict=True):
            await stream.send_all(data[start:end])
        answered = False
        with trio.move_on_after(SILENCE) as silence:
            while await stream.receive_some(65_536):
                answered = True
                silence.deadline = trio.current_time() + SILENCE
        return answered


async def _beside(gateway: Program) -> None:
    """What everybody else does meanwhile: a unary call, and a message on a WebSocket."""
    port = await gateway.port()
    async with WebClient(port) as web:
        status = await web.get_reply("hi")
        assert status == 200, f"a call during the fuzz got {status}: {web.body!r}"
    async with opened(port, "bidirectional") as socket:
        await socket.send(MESSAGE.decode())
        answer = await socket.receive()
        assert '"response":"from server: hi"' in str(answer), f"a message during the fuzz got {answer}"
