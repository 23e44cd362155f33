"""`ws-http2`, against hops that do not offer WebSockets over HTTP/2, or do and refuse them."""

from collections.abc import Iterable

import trio

from echo.probe.checks.ws_http2 import WsHttp2
from echo.probe.finding import Outcome
from tests.probe.gateway_paths import finding_of
from tests.probe.relays import Fault, Head, Item, Line
from tests.probe.web_relays import WebFault
from tests.support.http2_frames import SETTINGS, Frame


class HideConnect(Fault):
    """Leaves ENABLE_CONNECT_PROTOCOL out of the server's SETTINGS."""

    async def to_client(self, line: Line, item: Item) -> Iterable[Item]:
        if not isinstance(item, Frame) or item.kind != SETTINGS or item.flags & 1:
            return [item]
        pairs = [item.payload[at : at + 6] for at in range(0, len(item.payload), 6)]
        kept = b"".join(pair for pair in pairs if pair[:2] != b"\x00\x08")
        return [Frame(SETTINGS, 0, 0, kept)]


class RefuseConnect(Fault):
    async def to_client(self, line: Line, item: Item) -> Iterable[Item]:
        if isinstance(item, Head) and item.get(":status") is not None:
            return [Head(item.stream, [(":status", "502"), ("content-type", "text/html")], ends=True)]
        return [item]


class LoseKeys(Fault):
    """Makes an HTTP/1.1 handshake of each, without a key; our gateway's answer to that is passed on."""

    async def to_client(self, line: Line, item: Item) -> Iterable[Item]:
        if isinstance(item, Head) and item.get(":status") is not None:
            line.client.send(Head(item.stream, [(":status", "400"), ("content-type", "text/plain")]))
            line.nursery.start_soon(self._explain, line, item.stream)
            return []
        return [item]

    async def _explain(self, line: Line, stream: int) -> None:
        await trio.sleep(0.1)  # A body may come later than its head.
        said = b"Sec-WebSocket-Key must be there once, and be 16 bytes in base64"
        line.data(line.client, stream, said, end=True)


class Translated(WebFault):
    http2 = LoseKeys()


class NotOffered(WebFault):
    http2 = HideConnect()


class Refused(WebFault):
    http2 = RefuseConnect()


class Http1Only(WebFault):
    http2 = None


async def test_a_clean_path_survives() -> None:
    assert (await finding_of(WsHttp2())).outcome is Outcome.SURVIVED


async def test_what_is_not_offered_is_a_limit() -> None:
    finding = await finding_of(WsHttp2(), NotOffered())
    assert (finding.outcome, finding.cause) == (Outcome.LIMITED, "not-offered")


async def test_a_path_of_http1_alone_is_a_limit_too() -> None:
    finding = await finding_of(WsHttp2(), Http1Only())
    assert (finding.outcome, finding.cause) == (Outcome.LIMITED, "not-offered")
    assert "does not speak HTTP/2" in finding.sentence


async def test_what_is_offered_and_refused_is_broken() -> None:
    finding = await finding_of(WsHttp2(), Refused())
    assert (finding.outcome, finding.cause) == (Outcome.BROKEN, "refused")
    assert "HTTP 502 with text/html" in finding.sentence


async def test_a_handshake_that_is_made_into_one_of_http1_without_a_key_is_broken() -> None:
    finding = await finding_of(WsHttp2(), Translated())
    assert (finding.outcome, finding.cause) == (Outcome.BROKEN, "incomplete")
    assert "turns it into an HTTP/1.1 handshake, and leaves out the key" in finding.sentence
