"""`ws-compression`, against hops that agree on it, well and badly."""

from collections.abc import Iterable
from zlib import MAX_WBITS, Z_SYNC_FLUSH, compressobj, decompressobj

from echo.probe.checks.ws_compression import WsCompression
from echo.probe.finding import Outcome
from tests.probe.gateway_paths import finding_of
from tests.probe.web_relays import Bare, Message, WebFault, WebLine
from tests.support.frames import TEXT

TAIL = b"\x00\x00\xff\xff"
RSV1 = 4


class Offered(WebFault):
    """Does something to handshakes that offer compression.

    Attributes:
        offered: Whether this one does.
    """

    def __init__(self) -> None:
        self.offered = False

    def for_connection(self) -> WebFault:
        return type(self)()

    async def request(self, message: Message) -> Message:
        self.offered = bool(message.get("sec-websocket-extensions"))
        return message


class AgreeOnly(Offered):
    """Agrees to what the gateway has not agreed to."""

    async def response(self, message: Message) -> Message:
        return message.adding("Sec-WebSocket-Extensions", "permessage-deflate") if self.offered else message


class Deflate(AgreeOnly):
    """Compresses between us and itself, as it should."""

    def __init__(self) -> None:
        super().__init__()
        self.inflater = decompressobj(-MAX_WBITS)
        self.deflater = compressobj(wbits=-MAX_WBITS)

    async def to_server(self, line: WebLine, frame: Bare) -> Iterable[Bare]:
        if not frame.rsv & RSV1:
            return [frame]
        return [Bare(frame.opcode, self.inflater.decompress(frame.payload + TAIL))]

    async def to_client(self, line: WebLine, frame: Bare) -> Iterable[Bare]:
        if not self.offered or frame.opcode != TEXT:
            return [frame]
        packed = self.deflater.compress(frame.payload) + self.deflater.flush(Z_SYNC_FLUSH)
        return [Bare(frame.opcode, self.spoil(packed.removesuffix(TAIL)), rsv=RSV1)]

    def spoil(self, packed: bytes) -> bytes:
        return packed


class CutShort(Deflate):
    """Loses the end of what it has compressed."""

    def spoil(self, packed: bytes) -> bytes:
        return packed[:-40]


class Refuse(Offered):
    async def response(self, message: Message) -> Message:
        if not self.offered:
            return message
        return Message("HTTP/1.1 400 Bad Request", (("Content-Type", "text/plain"), ("Content-Length", "3")), b"no.")


async def test_a_clean_path_survives_without_compression() -> None:
    finding = await finding_of(WsCompression())
    assert finding.outcome is Outcome.SURVIVED
    assert "Nobody accepts the compression" in finding.sentence


async def test_a_hop_that_compresses_well_survives() -> None:
    finding = await finding_of(WsCompression(), Deflate())
    assert finding.outcome is Outcome.SURVIVED
    assert "compressed messages arrive intact" in finding.sentence


async def test_a_hop_that_only_says_it_compresses_is_reported() -> None:
    finding = await finding_of(WsCompression(), AgreeOnly())
    assert (finding.outcome, finding.cause) == (Outcome.BROKEN, "corrupt")
    assert "without it they do" in finding.sentence


async def test_a_hop_that_compresses_badly_is_reported() -> None:
    finding = await finding_of(WsCompression(), CutShort())
    assert (finding.outcome, finding.cause) == (Outcome.BROKEN, "corrupt")


async def test_a_hop_that_refuses_the_offer_is_reported() -> None:
    finding = await finding_of(WsCompression(), Refuse())
    assert (finding.outcome, finding.cause) == (Outcome.BROKEN, "corrupt")
    assert "HTTP 400 with text/plain" in finding.sentence
