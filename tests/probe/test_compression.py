"""`compression`, against hops that unpack messages, lose the mark, or compress by themselves."""

from collections.abc import Iterable

import pytest

from echo.probe.checks.compression import Compression
from echo.probe.finding import Outcome
from echo.wire import decompress
from tests.probe.paths import finding_of
from tests.probe.relays import Fault, Head, Item, Line, is_data
from tests.support.http2_frames import Frame


class OneWay(Fault):
    """Changes what goes one way."""

    def __init__(self, *, up: bool) -> None:
        self.up = up

    def change(self, item: Item) -> Item:
        raise NotImplementedError

    async def to_server(self, line: Line, item: Item) -> Iterable[Item]:
        return [self.change(item) if self.up else item]

    async def to_client(self, line: Line, item: Item) -> Iterable[Item]:
        return [item if self.up else self.change(item)]


class Unpack(OneWay):
    """Sends messages on uncompressed, which all fit into one frame."""

    def change(self, item: Item) -> Item:
        if not isinstance(item, Frame) or not is_data(item) or item.payload[:1] != b"\1":
            return item
        message = decompress("gzip", item.payload[5:], 2**20)
        return Frame(item.kind, item.flags, item.stream, b"\0" + len(message).to_bytes(4, "big") + message)


class LoseName(OneWay):
    def change(self, item: Item) -> Item:
        return item.without("grpc-encoding") if isinstance(item, Head) else item


class LoseOffer(OneWay):
    def change(self, item: Item) -> Item:
        return item.without("grpc-accept-encoding") if isinstance(item, Head) else item


class Spoil(OneWay):
    def change(self, item: Item) -> Item:
        if not isinstance(item, Frame) or not is_data(item) or item.payload[:1] != b"\1":
            return item
        return Frame(item.kind, item.flags, item.stream, item.payload[:-8] + bytes(8))


class AddContentEncoding(OneWay):
    def change(self, item: Item) -> Item:
        first = isinstance(item, Head) and (item.get(":method") or item.get(":status"))
        return item.adding("content-encoding", "gzip") if isinstance(item, Head) and first else item


@pytest.mark.parametrize("direct", [True, False])
async def test_a_clean_path_survives(direct: bool) -> None:
    assert (await finding_of(Compression(), direct=direct)).outcome is Outcome.SURVIVED


@pytest.mark.parametrize(
    ("fault", "cause", "words"),
    [
        (Unpack(up=True), "flag-lost", "arrives at the server decompressed"),
        (Unpack(up=False), "flag-lost", "arrives decompressed"),
        (LoseName(up=True), "flag-lost", "The server is not told how"),
        (LoseName(up=False), "flag-lost", "We are not told how"),
        (LoseOffer(up=True), "flag-lost", "not told that we can read"),
        (Spoil(up=True), "altered", "to the server failed with INTERNAL"),
        (Spoil(up=False), "altered", "arrives changed"),
        (AddContentEncoding(up=True), "content-encoding", "content-encoding"),
        (AddContentEncoding(up=False), "content-encoding", "content-encoding"),
    ],
)
async def test_changed_compression_is_reported(fault: Fault, cause: str, words: str) -> None:
    finding = await finding_of(Compression(), fault)
    assert (finding.outcome, finding.cause) == (Outcome.BROKEN, cause)
    assert words in finding.sentence


async def test_without_a_script_nothing_is_claimed() -> None:
    assert (await finding_of(Compression(), scripting=False)).outcome is Outcome.INCONCLUSIVE
