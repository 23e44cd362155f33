"""RFC 9113 §6.5: SETTINGS, their values, and their acknowledgement."""

import pytest

from tests.support.http2_frames import (
    ACK,
    DATA,
    ENABLE_CONNECT_PROTOCOL,
    ENABLE_PUSH,
    HEADER_TABLE_SIZE,
    INITIAL_WINDOW_SIZE,
    MAX_CONCURRENT_STREAMS,
    MAX_FRAME_SIZE,
    MAX_HEADER_LIST_SIZE,
    MAX_WINDOW,
    PREFACE,
    SETTINGS,
    SETTINGS_ACK,
    frame,
    settings,
    window_update,
)
from tests.support.reactions import (
    BY_PROTOCOL,
    BY_SIZE,
    GET,
    LIVE,
    POST,
    Row,
    both_roles,
    each,
    headers,
    is_whole,
    judge,
    row,
)
from tests.support.rfc9113 import Endpoint, Role

BY_WINDOW = "connection FLOW_CONTROL_ERROR"
TAKEN = "SETTINGS ACK"


def value(name: str, expected: str, *pairs: tuple[int, int]) -> Row:
    return row(name, expected, settings(*pairs), stream=0)


EITHER = [
    row("SETTINGS are acknowledged", TAKEN, settings(), stream=0),
    row("each of them", f"{TAKEN}, {TAKEN}", settings(), settings(), stream=0),
    row("an acknowledgement is not", "nothing", SETTINGS_ACK, stream=0),
    row("an acknowledgement with a payload", BY_SIZE, frame(SETTINGS, ACK, 0, bytes(6)), stream=0),
    row("SETTINGS on a stream", BY_PROTOCOL, frame(SETTINGS, 0, 1), before=(LIVE,), stream=0),
    row("SETTINGS on an idle stream", BY_PROTOCOL, frame(SETTINGS, 0, 1), stream=0),
    row("SETTINGS of 3 bytes", BY_SIZE, frame(SETTINGS, 0, 0, b"\0\3\0"), stream=0),
    row("SETTINGS of 7 bytes", BY_SIZE, frame(SETTINGS, 0, 0, bytes(7)), stream=0),
    value("ENABLE_PUSH of 0", TAKEN, (ENABLE_PUSH, 0)),
    value("ENABLE_PUSH of 2", BY_PROTOCOL, (ENABLE_PUSH, 2)),
    value("the greatest window", TAKEN, (INITIAL_WINDOW_SIZE, MAX_WINDOW)),
    value("a window above 2^31-1", BY_WINDOW, (INITIAL_WINDOW_SIZE, MAX_WINDOW + 1)),
    value("a window of 2^32-1", BY_WINDOW, (INITIAL_WINDOW_SIZE, 2**32 - 1)),
    value("a window of 0", TAKEN, (INITIAL_WINDOW_SIZE, 0)),
    value("frames below 16,384", BY_PROTOCOL, (MAX_FRAME_SIZE, 16_383)),
    value("frames of 0", BY_PROTOCOL, (MAX_FRAME_SIZE, 0)),
    value("frames of 16,384", TAKEN, (MAX_FRAME_SIZE, 16_384)),
    value("frames of 2^24-1", TAKEN, (MAX_FRAME_SIZE, 2**24 - 1)),
    value("frames above 2^24-1", BY_PROTOCOL, (MAX_FRAME_SIZE, 2**24)),
    value("no header table", TAKEN, (HEADER_TABLE_SIZE, 0)),
    value("a header table of 2^32-1", TAKEN, (HEADER_TABLE_SIZE, 2**32 - 1)),
    value("no streams", TAKEN, (MAX_CONCURRENT_STREAMS, 0)),
    value("2^32-1 streams", TAKEN, (MAX_CONCURRENT_STREAMS, 2**32 - 1)),
    value("header lists of 2^32-1", TAKEN, (MAX_HEADER_LIST_SIZE, 2**32 - 1)),
    value("unknown settings are ignored", TAKEN, (0xFF, 1), (0, 0), (0xFFFF, 2**32 - 1)),
    value("an extension's setting with a wrong value", f"{TAKEN} | {BY_PROTOCOL}", (ENABLE_CONNECT_PROTOCOL, 2)),
    value(
        "the last of several values must be right as well", BY_PROTOCOL, (MAX_FRAME_SIZE, 20_000), (MAX_FRAME_SIZE, 1)
    ),
    value("so must the first", BY_PROTOCOL, (MAX_FRAME_SIZE, 1), (MAX_FRAME_SIZE, 20_000)),
    row(
        "a change that takes a stream's window above 2^31-1",
        BY_WINDOW,
        settings((INITIAL_WINDOW_SIZE, 65_536)),
        before=(LIVE, window_update(1, MAX_WINDOW - 65_535)),
        stream=0,
    ),
]


@both_roles
@each(EITHER)
def test_settings_to_either_role(role: Role, row: Row) -> None:
    judge(role, row)


@each([value("ENABLE_PUSH of 1", TAKEN, (ENABLE_PUSH, 1))])
def test_settings_of_a_client(row: Row) -> None:
    judge("server", row)


@each([value("ENABLE_PUSH of 1 is not for servers", BY_PROTOCOL, (ENABLE_PUSH, 1))])
def test_settings_of_a_server(row: Row) -> None:
    judge("client", row)


@both_roles
def test_settings_without_an_acknowledgement_of_ours_do_not_stop_anything(role: Role) -> None:
    endpoint = Endpoint(role, begin=(PREFACE if role == "server" else b"") + settings())
    endpoint.look()
    endpoint.feed(LIVE)
    assert endpoint.reaction(1) == ("call" if role == "server" else "head")


def test_settings_are_applied_in_order() -> None:
    endpoint = Endpoint("server")
    endpoint.feed(settings((INITIAL_WINDOW_SIZE, 100), (INITIAL_WINDOW_SIZE, 1)), headers(1, POST, end=True))
    assert len(endpoint.body(1)) == 1


def test_our_frames_are_no_larger_than_the_peer_allows_and_may_be_as_large() -> None:
    endpoint = Endpoint("client", begin=settings((INITIAL_WINDOW_SIZE, MAX_WINDOW)) + SETTINGS_ACK)
    endpoint.feed(window_update(0, MAX_WINDOW - 65_535))
    endpoint.open()
    endpoint.send_message(1, bytes(100_000))
    sizes = [len(came.payload) for came in endpoint.frames if came.kind == DATA]
    assert sum(sizes) == 100_000
    assert max(sizes) <= 16_384


@both_roles
def test_our_blocks_work_when_the_peer_allows_no_header_table(role: Role) -> None:
    begin = PREFACE if role == "server" else b""
    endpoint = Endpoint(role, begin=begin + settings((HEADER_TABLE_SIZE, 0)) + SETTINGS_ACK)
    endpoint.decoder.max_allowed_table_size = 0
    for stream in (1, 3):
        if role == "server":
            endpoint.feed(headers(stream, GET, end=True))
        else:
            endpoint.open()
    assert len(endpoint.heads) == 2
    assert endpoint.decoder.header_table_size == 0


@both_roles
def test_a_smaller_header_table_is_announced_in_the_next_block(role: Role) -> None:
    endpoint = Endpoint(role)
    for stream, size in ((1, 4_096), (3, 100), (5, 4_096)):
        endpoint.feed(settings((HEADER_TABLE_SIZE, size)))
        endpoint.decoder.max_allowed_table_size = size
        if role == "server":
            endpoint.feed(headers(stream, GET, end=True))
        else:
            endpoint.open()
        assert endpoint.decoder.header_table_size <= size
    assert len(endpoint.heads) == 3
    is_whole(endpoint)


@pytest.mark.parametrize("size", [2**32 - 1, 2**24, 65_536])
def test_a_larger_header_table_costs_us_no_more_memory(size: int) -> None:
    endpoint = Endpoint("client", begin=settings((HEADER_TABLE_SIZE, size)) + SETTINGS_ACK)
    endpoint.decoder.max_allowed_table_size = size
    endpoint.open()
    assert endpoint.decoder.header_table_size <= 4_096
