"""RFC 9113 §6.5.2 and §10.5.1: header lists that are too large fail their call or, above a hard limit, the connection.

A list above the announced limit fails its call with RESOURCE_EXHAUSTED, and is still decoded, to keep the compression
state. One far above the limit ends the connection before it takes the memory.
"""

import tracemalloc

import pytest

from tests.support.http2_frames import (
    HEADERS,
    MAX_HEADER_LIST_SIZE,
    PREFACE,
    RST_STREAM,
    SETTINGS_ACK,
    continuation,
    frame,
    settings,
)
from tests.support.reactions import (
    REQUEST,
    RESPONSE,
    TRAILERS,
    Row,
    both_roles,
    each,
    fragmented,
    headers,
    is_whole,
    judge,
    opened,
    row,
)
from tests.support.rfc9113 import Endpoint, Part, Role

KIB = 1024
SOFT = 16 * KIB  # Announced.
HARD = 64 * KIB
CALM = "connection ENHANCE_YOUR_CALM"
TOO_LARGE = "grpc-status 8"
HEADED = (opened(), headers(1, RESPONSE))


def size_of(fields: tuple[tuple[str, str], ...]) -> int:
    """As SETTINGS_MAX_HEADER_LIST_SIZE counts (§6.5.2)."""
    return sum(len(name) + len(value) + 32 for name, value in fields)


def enlarged(fields: tuple[tuple[str, str], ...], size: int, *, count: int = 1) -> tuple[tuple[str, str], ...]:
    """The list with fields more, so that it has that size; each is literal and enters the peer's table if it can."""
    missing = size - size_of(fields)
    names = [f"x-large-{number:04}" for number in range(count)]
    each, rest = divmod(missing - count * (32 + 12), count)
    return (*fields, *((name, "&" * (each + (rest if name == names[-1] else 0))) for name in names))


def large(fields: tuple[tuple[str, str], ...], size: int, *, count: int = 1, end: bool = False) -> Part:
    return fragmented(1, enlarged(fields, size, count=count), sizes=[16_000] * 8, end=end)


# One literal of 4,000 bytes in the table, and a thousand references to it of a byte each.
BOMB = b"\x40\x01a\x7f\xa1\x1e" + b"v" * 4_000 + b"\xbe" * 1_000
SMALL_BOMB = b"\x40\x01a\x7f\xa1\x1e" + b"v" * 4_000 + b"\xbe" * 7
CALL = b"\x83\x86\x04\x04/s/m\x01\x04test\x0f\x10\x10application/grpc"

SERVER = [
    row("as large as announced", "call", large(REQUEST, SOFT)),
    row("of many fields", "call", large(REQUEST, SOFT, count=200)),
    row("a byte larger", TOO_LARGE, large(REQUEST, SOFT + 1)),
    row("of 20 KB", TOO_LARGE, large(REQUEST, 20_000)),
    row("of 20 KB, END_STREAM", TOO_LARGE, large(REQUEST, 20_000, end=True)),
    row("of 20 KB in many fields", TOO_LARGE, large(REQUEST, 20_000, count=200)),
    row("of 20 KB that enter the table", TOO_LARGE, large(REQUEST, 20_000, count=10)),
    row("of 60 KiB", TOO_LARGE, large(REQUEST, 60 * KIB)),
    row("of 32 KB by references", TOO_LARGE, headers(1, CALL + SMALL_BOMB)),
    row("of 4 MB by references", CALM, headers(1, CALL + BOMB)),
    row("of 100 KiB", CALM, large(REQUEST, 100 * KIB)),
    row("of 100 KiB in many fields", CALM, large(REQUEST, 100 * KIB, count=100)),
    row(
        "trailers of 20 KB",
        f"{TOO_LARGE} | nothing | stream ENHANCE_YOUR_CALM | told ENHANCE_YOUR_CALM | stream PROTOCOL_ERROR",
        large((("x-t", "1"),), 20_000, end=True),
        before=(headers(1),),
    ),
    row("trailers of 100 KiB", CALM, large((("x-t", "1"),), 100 * KIB, end=True), before=(headers(1),)),
]
EXHAUSTED = "status RESOURCE_EXHAUSTED"
CLIENT = [
    row("as large as announced", "head", large(RESPONSE, SOFT), before=(opened(),)),
    row("of 20 KB", EXHAUSTED, large(RESPONSE, 20_000), before=(opened(),)),
    row("of 20 KB on a half-closed stream", EXHAUSTED, large(RESPONSE, 20_000), before=(opened(end=True),)),
    row("of 20 KB that enter the table", EXHAUSTED, large(RESPONSE, 20_000, count=10), before=(opened(),)),
    row("trailers of 20 KB", EXHAUSTED, large(TRAILERS, 20_000, end=True), before=HEADED),
    row("trailers alone of 20 KB", EXHAUSTED, large((*RESPONSE, *TRAILERS), 20_000, end=True), before=(opened(),)),
    row("of 100 KiB", CALM, large(RESPONSE, 100 * KIB), before=(opened(),)),
    row("trailers of 100 KiB", CALM, large(TRAILERS, 100 * KIB, end=True), before=HEADED),
    row("of 4 MB by references", CALM, headers(1, b"\x88" + BOMB), before=(opened(),)),
]


@each(SERVER)
def test_header_lists_of_a_client(row: Row) -> None:
    judge("server", row)


@each(CLIENT)
def test_header_lists_of_a_server(row: Row) -> None:
    judge("client", row)


@both_roles
def test_the_announced_header_list_limit_is_the_one_enforced(role: Role) -> None:
    assert (MAX_HEADER_LIST_SIZE, SOFT) in Endpoint(role).settings


def test_an_oversized_head_is_refused_with_a_reason_before_the_rest_arrives() -> None:
    endpoint = Endpoint("server")
    endpoint.feed(large(REQUEST, 20_000))
    (answer,) = endpoint.heads[1]
    assert answer[":status"] == "200"
    assert answer["content-type"].startswith("application/grpc")
    assert answer["grpc-message"]
    assert endpoint.ended(1)
    assert [came.error_code for came in endpoint.frames if came.kind == RST_STREAM] == [0]
    assert not endpoint.requests()
    is_whole(endpoint)


@both_roles
@pytest.mark.parametrize("piece", [16_384, 1_000, 1])
def test_an_endless_header_block_ends_the_connection(role: Role, piece: int) -> None:
    endpoint = Endpoint(role)
    if role == "client":
        endpoint.open()
    endpoint.look()
    endpoint.feed(frame(HEADERS, 0, 1, b"\x00\x01a\x7f\x80\x80\x40"))  # A literal of a megabyte.
    for _ in range(1_000_000 // piece + 1):
        if endpoint.failed:
            break
        endpoint.feed(continuation(1, b"v" * piece, end=False))
    assert endpoint.reaction(1) == CALM


@both_roles
def test_endless_empty_continuations_end_the_connection(role: Role) -> None:
    endpoint = Endpoint(role)
    if role == "client":
        endpoint.open()
    endpoint.look()
    endpoint.feed(frame(HEADERS, 0, 1))
    for _ in range(100):
        if endpoint.failed:
            break
        endpoint.feed(continuation(1, end=False) * 100)
    assert endpoint.reaction(1) == CALM


@both_roles
def test_a_bomb_costs_no_memory(role: Role) -> None:
    endpoint = Endpoint(role)
    if role == "client":
        endpoint.open()
    bomb = headers(1, (CALL if role == "server" else b"\x88") + BOMB)
    tracemalloc.start()
    try:
        endpoint.feed(bomb)
        assert tracemalloc.get_traced_memory()[1] < 512 * KIB
    finally:
        tracemalloc.stop()
    assert endpoint.failed


def test_our_head_is_no_larger_than_the_peer_accepts() -> None:
    begin = settings((MAX_HEADER_LIST_SIZE, 2_000)) + SETTINGS_ACK
    endpoint = Endpoint("client", begin=begin)
    endpoint.look()
    try:
        endpoint.open(metadata={"x-large": "v" * 3_000})
    except Exception as error:  # noqa: BLE001 - how it is refused is not this test's matter
        assert "header" in str(error) or "metadata" in str(error)
    assert all(size_of(tuple(head.items())) <= 2_000 for heads in endpoint.heads.values() for head in heads)
    is_whole(endpoint)


def test_our_answers_are_no_larger_than_the_peer_accepts() -> None:
    begin = PREFACE + settings((MAX_HEADER_LIST_SIZE, 400)) + SETTINGS_ACK
    endpoint = Endpoint("server", begin=begin)
    long = "application/" + "x" * 10_000
    endpoint.feed(headers(1, (*REQUEST[:4], ("content-type", long)), end=True))
    assert endpoint.heads[1][0][":status"] == "415"
    assert all(size_of(tuple(head.items())) <= 400 for head in endpoint.heads[1])
