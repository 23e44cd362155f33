"""Header lists stay within the peer's limit (SETTINGS_MAX_HEADER_LIST_SIZE) and ours; only their own call fails."""

import hpack
import pytest
from hyperframe.frame import ContinuationFrame, HeadersFrame
from multidict import MultiDict

from echo.wire.head import Request, Response, Trailers
from echo.wire.limits import Limits
from echo.wire.status import GRPCError, Status
from tests.support.pair import CallEnded, ConnectionPair, frames, settings

MAX_FRAME_SIZE, MAX_HEADER_LIST_SIZE = 5, 6
LARGE: MultiDict[str | bytes] = MultiDict({f"x-{number}": "v" * 100 for number in range(10)})


def limited(size: int) -> tuple[ConnectionPair, int]:
    """Both sides have announced this limit for header lists; a call is open."""
    pair = ConnectionPair()
    stream_id = pair.open(end=True)
    pair.server.receive(settings({MAX_HEADER_LIST_SIZE: size}))
    pair.client.receive(settings({MAX_HEADER_LIST_SIZE: size}))
    return pair, stream_id


def test_a_request_larger_than_the_server_accepts_is_not_sent() -> None:
    pair, _ = limited(600)
    pair.client.take_output()
    with pytest.raises(GRPCError) as raised:
        pair.client.open(Request("/s/m", metadata=LARGE))
    assert raised.value.status is Status.RESOURCE_EXHAUSTED
    assert not pair.client.has_output
    assert pair.client.open(Request("/s/m"))


def test_a_response_head_larger_than_the_client_accepts_fails_its_call() -> None:
    pair, stream_id = limited(600)
    with pytest.raises(GRPCError) as raised:
        pair.server.send_response(stream_id, Response(LARGE))
    assert raised.value.status is Status.RESOURCE_EXHAUSTED
    pair.server.send_trailers(stream_id, Trailers(Status.RESOURCE_EXHAUSTED))
    (ended,) = pair.to_client()
    assert isinstance(ended, CallEnded)


def test_trailers_that_are_too_large_lose_their_details_first() -> None:
    pair, stream_id = limited(600)
    pair.server.send_trailers(stream_id, Trailers(Status.ABORTED, "why", b"d" * 1_000))
    (ended,) = pair.to_client()
    assert isinstance(ended, CallEnded)
    assert (ended.trailers.status, ended.trailers.message) == (Status.ABORTED, "why")
    assert ended.trailers.details is None


def test_trailers_too_large_even_without_details_become_an_error() -> None:
    pair, stream_id = limited(600)
    pair.server.send_trailers(stream_id, Trailers(Status.OK, metadata=LARGE))
    (ended,) = pair.to_client()
    assert isinstance(ended, CallEnded)
    assert ended.trailers.status is Status.RESOURCE_EXHAUSTED
    assert "600" in (ended.trailers.message or "")


def test_details_that_fit_are_kept() -> None:
    pair, stream_id = limited(600)
    pair.server.send_trailers(stream_id, Trailers(Status.ABORTED, "why", b"d" * 50))
    (ended,) = pair.to_client()
    assert isinstance(ended, CallEnded)
    assert ended.trailers.details == b"d" * 50


@pytest.mark.parametrize("limit", [16_384, 20_000])
def test_a_block_larger_than_the_peer_s_frame_size_is_split(limit: int) -> None:
    pair = ConnectionPair(Limits(max_header_list_size=2**20), Limits(max_header_list_size=2**20))
    pair.client.receive(settings({MAX_FRAME_SIZE: limit}))
    pair.client.take_output()
    sent: MultiDict[str | bytes] = MultiDict(
        {"x-long": "\x7f".join("~" * 10 for _ in range(6_000)).replace("\x7f", "!")}
    )
    pair.client.open(Request("/s/m", metadata=sent))
    whole = [
        frame for frame in frames(pair.client.take_output()) if isinstance(frame, HeadersFrame | ContinuationFrame)
    ]
    assert [type(frame) for frame in whole] == [HeadersFrame] + [ContinuationFrame] * (len(whole) - 1)
    assert len(whole) > 2
    assert [len(frame.data) for frame in whole[:-1]] == [limit] * (len(whole) - 1)
    assert ["END_HEADERS" in frame.flags for frame in whole] == [False] * (len(whole) - 1) + [True]
    block = b"".join(frame.data for frame in whole)
    assert sent["x-long"] in [value for _, value in hpack.Decoder(2**20).decode(block)]


def test_ended_streams_leave_the_ring() -> None:
    """Streams that are reset while the connection's window is shut leave nothing in the ring of senders."""
    pair = ConnectionPair(Limits(connection_window=65_535, stream_window=65_535), Limits(max_concurrent_streams=10_000))
    blocked = pair.client.open(Request("/s/m"))
    pair.client.send_message(blocked, b"x" * 100_000)
    pair.client.take_output()
    assert pair.client.send_window == 0
    for _ in range(1_000):
        stream_id = pair.client.open(Request("/s/m"))
        pair.client.send_message(stream_id, b"y")
        pair.client.reset(stream_id, 8)
        pair.client.take_output()
        pair.client.take_writable()
    assert len(pair.client.wire._out.ring) <= 1
    assert pair.client.open_streams == {blocked}
