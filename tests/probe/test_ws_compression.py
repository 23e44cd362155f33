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


class Deflate(WebFault):
    """Compresses between us and itself, as it should."""

    def __init__(self) -> None:
        self.inflater = decompressobj(-MAX_WBITS)
        self.deflater = compressobj(wbits=-MAX_WBITS)

    async def response(self, message: Message) -> Message:
        offered = message.first.startswith("HTTP/1.1 101")
        return message.adding("Sec-WebSocket-Extensions", "permessage-deflate") if offered else message

    async def to_server(self, line: WebLine, frame: Bare) -> Iterable[Bare]:
        if not frame.rsv & RSV1:
            return [frame]
        return [Bare(frame.opcode, self.inflater.decompress(frame.payload + TAIL))]

    async def to_client(self, line: WebLine, frame: Bare) -> Iterable[Bare]:
        if frame.opcode != TEXT:
            return [frame]
        packed = self.deflater.compress(frame.payload) + self.deflater.flush(Z_SYNC_FLUSH)
        return [Bare(frame.opcode, packed.removesuffix(TAIL), rsv=RSV1)]


class Offered(WebFault):
    """Does something to handshakes that offer compression."""

    deflating = False

    async def request(self, message: Message) -> Message:
        self.deflating = bool(message.get("sec-websocket-extensions"))
        return message


class AgreeOnly(Offered):
    """Agrees to what the gateway has not agreed to."""

    async def response(self, message: Message) -> Message:
        return message.adding("Sec-WebSocket-Extensions", "permessage-deflate") if self.deflating else message


class Forget(Deflate):
    """Forgets the earlier messages that later ones refer to."""

    offered = False

    async def request(self, message: Message) -> Message:
        self.offered = bool(message.get("sec-websocket-extensions"))
        return message

    async def response(self, message: Message) -> Message:
        return await super().response(message) if self.offered else message

    async def to_client(self, line: WebLine, frame: Bare) -> Iterable[Bare]:
        if not self.offered or frame.opcode != TEXT:
            return [frame]
        return [Bare(one.opcode, one.payload[:-40], rsv=one.rsv) for one in await super().to_client(line, frame)]


class Refuse(Offered):
    async def response(self, message: Message) -> Message:
        if not self.deflating:
            return message
        return Message("HTTP/1.1 400 Bad Request", (("Content-Type", "text/plain"), ("Content-Length", "3")), b"no.")


async def test_a_clean_path_survives_without_compression() -> None:
    finding = await finding_of(WsCompression())
    assert finding.outcome is Outcome.SURVIVED
    assert "nobody takes it up" in finding.sentence


async def test_a_hop_that_compresses_well_survives() -> None:
    finding = await finding_of(WsCompression(), Deflate())
    assert finding.outcome is Outcome.SURVIVED
    assert "compressed messages arrive intact" in finding.sentence


async def test_a_hop_that_only_says_it_compresses_is_told() -> None:
    finding = await finding_of(WsCompression(), AgreeOnly())
    assert (finding.outcome, finding.cause) == (Outcome.BROKEN, "corrupt")
    assert "without it they do" in finding.sentence


async def test_a_hop_that_compresses_badly_is_told() -> None:
    finding = await finding_of(WsCompression(), Forget())
    assert (finding.outcome, finding.cause) == (Outcome.BROKEN, "corrupt")


async def test_a_hop_that_refuses_the_offer_is_told() -> None:
    finding = await finding_of(WsCompression(), Refuse())
    assert (finding.outcome, finding.cause) == (Outcome.BROKEN, "refused")
    assert "HTTP 400 with text/plain" in finding.sentence
