"""RFC 9113 §5.1.1 and §5.1.2: which stream identifiers may be used, and how many streams at once."""

import pytest

from tests.support.http2_frames import (
    INITIAL_WINDOW_SIZE,
    MAX_CONCURRENT_STREAMS,
    MAX_WINDOW,
    PREFACE,
    SETTINGS_ACK,
    data,
    priority,
    rst_stream,
    settings,
    window_update,
)
from tests.support.reactions import (
    BY_PROTOCOL,
    GET,
    POST,
    REQUEST,
    RESPONSE,
    TRAILERS,
    Row,
    each,
    headers,
    is_whole,
    judge,
    opened,
    row,
)
from tests.support.rfc9113 import Endpoint, Part

TOO_LOW = f"{BY_PROTOCOL} | connection STREAM_CLOSED"
LAST = MAX_WINDOW  # 2^31-1 is also the last stream.

SERVER = [
    row("a client's streams are odd", BY_PROTOCOL, headers(2), stream=2),
    row("stream 0 is the connection", BY_PROTOCOL, headers(0), stream=0),
    row("identifiers grow", TOO_LOW, headers(3), before=(headers(5),), stream=3),
    row("identifiers are not used twice", TOO_LOW, headers(1), before=(headers(3), headers(5)), stream=1),
    row("identifiers may be passed over", "call", headers(4_001), before=(headers(5),), stream=4_001),
    row("the first need not be 1", "call", headers(77), stream=77),
    row("the last of all may be used", "call", headers(LAST), stream=LAST, alive="ping"),
    row("PRIORITY uses no identifier up", "call", headers(3), before=(priority(9),), stream=3),
    row("a malformed request uses its identifier up", TOO_LOW, headers(1), before=(headers(3, REQUEST[1:]),)),
    row(
        "an answered request uses its identifier up", TOO_LOW, headers(3), before=(headers(5, GET, end=True),), stream=3
    ),
    # A stream is idle regardless of the other streams.
    row("RST_STREAM beyond what is open", BY_PROTOCOL, rst_stream(5), before=(headers(1),), stream=5),
    row("WINDOW_UPDATE beyond what is open", BY_PROTOCOL, window_update(5, 1), before=(headers(1),), stream=5),
    row("DATA beyond what is open", BY_PROTOCOL, data(5, b"x"), before=(headers(1),), stream=5),
    row("RST_STREAM on a stream of ours", BY_PROTOCOL, rst_stream(2), before=(headers(1),), stream=2),
    row("WINDOW_UPDATE on a stream of ours", BY_PROTOCOL, window_update(2, 1), before=(headers(1),), stream=2),
    row("DATA on a stream of ours", BY_PROTOCOL, data(2, b"x"), before=(headers(1),), stream=2),
]
CLIENT = [
    row("a server opens no streams", BY_PROTOCOL, headers(2, RESPONSE), stream=2),
    row("nor does it answer calls that were not made", BY_PROTOCOL, headers(3, RESPONSE), before=(opened(),), stream=3),
    row("answers may come in any order", "head", headers(3, RESPONSE), before=(opened(), opened()), stream=3),
    row("stream 0 is the connection", BY_PROTOCOL, headers(0, RESPONSE), stream=0),
    row("DATA on a stream of the server's", BY_PROTOCOL, data(2, b"x"), stream=2),
    row("RST_STREAM on a stream of the server's", BY_PROTOCOL, rst_stream(2), stream=2),
    row("WINDOW_UPDATE on a stream of the server's", BY_PROTOCOL, window_update(2, 1), stream=2),
    row("RST_STREAM on a call that was not made", BY_PROTOCOL, rst_stream(3), before=(opened(),), stream=3),
    row("WINDOW_UPDATE on a call that was not made", BY_PROTOCOL, window_update(3, 1), before=(opened(),), stream=3),
]


@each(SERVER)
def test_identifiers_of_a_client(row: Row) -> None:
    judge("server", row)


@each(CLIENT)
def test_identifiers_of_a_server(row: Row) -> None:
    judge("client", row)


LIMIT = 100  # What we announce.
SHUT = PREFACE + settings((INITIAL_WINDOW_SIZE, 0)) + SETTINGS_ACK

WAYS: dict[str, tuple[bytes | None, tuple[tuple[str, str], ...], bool]] = {
    "calls": (None, REQUEST, False),
    "calls that are half-closed": (None, REQUEST, True),
    # Our answer cannot leave, so these streams are open too.
    "requests that are no gRPC, with a window of 0": (SHUT, GET, True),
    "posts that are no gRPC, with a window of 0": (SHUT, POST, True),
}


def full(way: str) -> tuple[Endpoint, Part]:
    """A server with as many streams as it allows, and one more."""
    begin, fields, end = WAYS[way]
    endpoint = Endpoint("server", begin=begin)
    assert (MAX_CONCURRENT_STREAMS, LIMIT) in endpoint.settings
    for number in range(LIMIT):
        endpoint.feed(headers(2 * number + 1, fields, end=end))
    endpoint.look()
    return endpoint, headers(2 * LIMIT + 1, (*fields, ("x-news", "kept in the table")), end=end)


@pytest.mark.parametrize("way", WAYS)
def test_the_101st_stream_is_refused_until_another_ends(way: str) -> None:
    endpoint, surplus = full(way)
    endpoint.feed(surplus)
    assert endpoint.reaction(2 * LIMIT + 1) == "stream REFUSED_STREAM"
    assert not endpoint.requests()
    endpoint.feed(rst_stream(1))
    is_whole(endpoint)


@pytest.mark.parametrize("way", WAYS)
def test_late_frames_on_a_refused_stream_are_ignored(way: str) -> None:
    endpoint, surplus = full(way)
    endpoint.feed(surplus)
    endpoint.look()
    if not WAYS[way][2]:
        endpoint.feed(data(201, b"x" * 10), headers(201, (("x-t", "1"),), end=True))
    endpoint.feed(window_update(201, 1), rst_stream(201))
    assert endpoint.reaction(201) == "nothing"
    endpoint.feed(rst_stream(3))
    is_whole(endpoint)


def test_streams_that_are_over_do_not_count() -> None:
    endpoint = Endpoint("server")
    for number in range(3 * LIMIT):
        endpoint.look()
        endpoint.later()
        endpoint.feed(headers(2 * number + 1), rst_stream(2 * number + 1))
        assert endpoint.requests()
    for number in range(3 * LIMIT, 6 * LIMIT):
        endpoint.look()
        endpoint.feed(headers(2 * number + 1, GET, end=True))
        assert endpoint.reaction(2 * number + 1) == "HTTP 405"
    is_whole(endpoint)


def test_a_client_knows_the_server_s_stream_limit() -> None:
    endpoint = Endpoint("client", begin=settings((MAX_CONCURRENT_STREAMS, 3)) + SETTINGS_ACK)
    assert endpoint.max_streams == 3
    endpoint.feed(settings((MAX_CONCURRENT_STREAMS, 1)))
    assert endpoint.max_streams == 1
    endpoint.feed(settings((MAX_CONCURRENT_STREAMS, 0)))
    assert endpoint.max_streams == 0


def test_without_an_announced_limit_a_client_may_open_many_streams() -> None:
    endpoint = Endpoint("client")
    assert endpoint.max_streams >= 100
    streams = [endpoint.open() for _ in range(100)]
    assert streams == list(range(1, 200, 2))
    endpoint.look()
    endpoint.feed(headers(199, RESPONSE), headers(199, TRAILERS, end=True))
    assert endpoint.reaction(199) == "status OK"
