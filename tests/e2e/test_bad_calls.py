"""Bad calls and what the client gets for each: a table, in hand-written HTTP/2 on a real socket.

Each looks at the answer, at the next call of the same client where its connection lives on, and at a neighbour's.
"""

import gzip
import tracemalloc
from dataclasses import dataclass, field

import pytest
import trio
import trio.testing
from h2.errors import ErrorCodes
from hyperframe.frame import ContinuationFrame, DataFrame, HeadersFrame

from echo.rpc import GRPCError, Limits, Status
from echo.wire.message import encode_message
from tests.support.raw import Fields, Heard, RawConnection, raw_client
from tests.support.target import BIDIRECTIONAL, FAIL, GET_REPLY, HELLO, request, target

KIB = 1024
MIB = 1024 * KIB

HI = encode_message(HELLO)
BOMB = gzip.compress(bytes(40 * MIB), 9)  # Its 40 kB are within the window of a stream.


@dataclass(frozen=True)
class Row:
    """A call that is wrong in one way, and its answer; ``body`` None leaves the client's side open forever."""

    status: Status
    body: bytes | None = HI
    fields: Fields = field(default_factory=request)
    http: int = 200
    answer: tuple[tuple[str, str], ...] = ()  # More that it says.


INTERNAL = Status.INTERNAL
UNIMPLEMENTED = Status.UNIMPLEMENTED

ROWS = {
    "4 GiB in the length prefix, no body": Row(Status.RESOURCE_EXHAUSTED, b"\x00\xff\xff\xff\xff"),
    "4 GiB in the length prefix, and the client goes on": Row(
        Status.RESOURCE_EXHAUSTED, None, request(BIDIRECTIONAL), answer=(("first", "\x00\xff\xff\xff\xff"),)
    ),
    "a gzip bomb": Row(Status.RESOURCE_EXHAUSTED, encode_message(BOMB, compressed=True), request(grpc_encoding="gzip")),
    "compressed flag without grpc-encoding": Row(INTERNAL, encode_message(gzip.compress(HELLO), compressed=True)),
    "gzip garbage": Row(INTERNAL, encode_message(b"no gzip", compressed=True), request(grpc_encoding="gzip")),
    "flag byte 2": Row(INTERNAL, b"\x02" + HI[1:]),
    "flag byte 2 with grpc-encoding": Row(INTERNAL, b"\x02" + HI[1:], request(grpc_encoding="gzip")),
    "a message cut short by END_STREAM": Row(INTERNAL, HI[:-1]),
    "a prefix cut short by END_STREAM": Row(INTERNAL, HI[:3]),
    "bytes that are no protobuf": Row(INTERNAL, encode_message(b"\xff\xff\xff")),
    "unknown grpc-encoding": Row(
        UNIMPLEMENTED, HI, request(grpc_encoding="snappy"), answer=(("grpc-accept-encoding", "gzip"),)
    ),
    "two messages where one belongs": Row(UNIMPLEMENTED, HI + HI),
    "no message where one belongs": Row(UNIMPLEMENTED, b""),
    "content-type text/plain": Row(Status.UNKNOWN, HI, request(content_type="text/plain"), http=415),
    "content-type application/grpcx": Row(Status.UNKNOWN, HI, request(content_type="application/grpcx"), http=415),
    "no content-type": Row(Status.UNKNOWN, HI, request(content_type=None), http=415),
    "GET": Row(INTERNAL, HI, request(_method="GET"), http=405),
    "PUT": Row(INTERNAL, HI, request(_method="PUT"), http=405),
    "grpc-timeout without a unit": Row(INTERNAL, HI, request(grpc_timeout="10")),
    "grpc-timeout of nine digits": Row(INTERNAL, HI, request(grpc_timeout="123456789S")),
    "bad base64 in a -bin header": Row(INTERNAL, HI, request(trace_bin="!!!")),
    "unknown method": Row(UNIMPLEMENTED, HI, request("/com.gopay.echo.Server/Nothing")),
    "unknown service": Row(UNIMPLEMENTED, HI, request("/nobody.Server/GetReply")),
    "unknown path": Row(UNIMPLEMENTED, HI, request("/")),
    "a path of no form": Row(UNIMPLEMENTED, HI, request("/" + "a/" * 2_000)),
}


def body_of(stream_id: int, body: bytes) -> bytes:
    """DATA that ends the stream."""
    pieces = [body[start : start + 16_384] for start in range(0, len(body), 16_384)] or [b""]
    frames = [DataFrame(stream_id, data=piece) for piece in pieces]
    frames[-1].flags.add("END_STREAM")
    return b"".join(frame.serialize() for frame in frames)


async def a_good_call_succeeds(client: RawConnection, stream_id: int) -> None:
    await client.send(client.head(stream_id, request()), body_of(stream_id, HI))
    answer = await client.heard(stream_id)
    assert answer.fields["grpc-status"] == "0"
    assert answer.data.endswith(b"from server:hi")


def has_status(answer: Heard, status: Status, http: int = 200) -> None:
    assert (answer.fields[":status"], answer.fields["grpc-status"]) == (str(http), str(status.value))
    assert "Traceback" not in answer.fields.get("grpc-message", "")


@pytest.mark.parametrize("row", [pytest.param(row, id=name) for name, row in ROWS.items()])
async def test_a_bad_call_is_answered_and_the_next_one_served(row: Row) -> None:
    async with target() as victim, raw_client(victim.port) as client:
        said = dict(row.answer)
        body = body_of(1, row.body) if row.body is not None else DataFrame(1, data=said.pop("first").encode("latin-1"))
        await client.send(client.head(1, row.fields), body)
        answer = await client.heard(1)
        has_status(answer, row.status, row.http)
        assert said.items() <= {name: value.split(",")[-1] for name, value in answer.fields.items()}.items()
        await a_good_call_succeeds(client, 3)
        await victim.serves()


async def test_a_gzip_bomb_inflates_no_further_than_the_limit() -> None:
    limits = Limits(max_message_size=256 * KIB)
    async with target(limits) as victim, raw_client(victim.port) as client:
        tracemalloc.start()
        try:
            await client.send(
                client.head(1, request(grpc_encoding="gzip")), body_of(1, encode_message(BOMB, compressed=True))
            )
            has_status(await client.heard(1), Status.RESOURCE_EXHAUSTED)
            assert tracemalloc.get_traced_memory()[1] < len(BOMB) * 4 + 4 * limits.max_message_size < 2 * MIB
        finally:
            tracemalloc.stop()
        await a_good_call_succeeds(client, 3)


HUGE = [(f"x-{number}", "y" * 1_000) for number in range(20)]


def a_short_block_that_becomes_a_long_list(client: RawConnection) -> bytes:
    # The table's one field again and again, a byte each (RFC 7541 §7.3).
    client.head(1, [("x-bomb", "y" * 3_000)])  # Into the encoder's table...
    block = b"\x40\x06x-bomb\x7f\xb9\x16" + b"y" * 3_000 + b"\xbe" * 10_000  # ... and by hand, with its index 62.
    return HeadersFrame(1, data=block, flags=["END_HEADERS", "END_STREAM"]).serialize()


def continuations_without_end(client: RawConnection) -> bytes:
    # CVE-2024-27316: fields that no list will ever hold.
    block = b"\x00\x04junk\x7f\x81\x07" + b"z" * 1_024
    head = HeadersFrame(1, data=block).serialize()
    return head + ContinuationFrame(1, data=block * 15).serialize() * 1_000


def empty_continuations_without_end(client: RawConnection) -> bytes:
    return HeadersFrame(1, data=b"\x83").serialize() + ContinuationFrame(1, data=b"").serialize() * 100_000


@pytest.mark.parametrize(
    "attempt",
    [
        a_short_block_that_becomes_a_long_list,
        continuations_without_end,
        empty_continuations_without_end,
    ],
)
async def test_a_header_list_above_the_limit_takes_no_memory(attempt: object) -> None:
    assert callable(attempt)
    async with target() as victim, raw_client(victim.port) as client:
        sent = attempt(client)
        tracemalloc.start()
        try:
            await client.send(sent)
            goaway = await client.goaway()
            assert tracemalloc.get_traced_memory()[1] < MIB // 2
        finally:
            tracemalloc.stop()
        assert goaway.error_code == ErrorCodes.ENHANCE_YOUR_CALM
        assert victim.odd.started == 0
        await victim.serves()


async def test_the_deadline_ends_a_call_whose_body_never_comes(mock_clock: trio.testing.MockClock) -> None:
    mock_clock.rate = 1.0
    async with target() as victim, raw_client(victim.port) as client:
        await client.send(client.head(1, request(grpc_timeout="10M")))
        await client.pause()
        assert victim.server.calls == 1
        mock_clock.jump(601)
        answer = await client.heard(1)
        has_status(answer, Status.DEADLINE_EXCEEDED)
        await client.until(lambda: answer.reset == ErrorCodes.NO_ERROR)
        assert victim.server.calls == 0
        await a_good_call_succeeds(client, 3)


@pytest.mark.parametrize(
    ("path", "body"),
    [(BIDIRECTIONAL, encode_message(b"\x22\x01x")), (FAIL, b""), (GET_REPLY, b"\x02\x00\x00\x00\x01")],
    ids=["by the handler's error, of a stream", "by the handler's error, without a message", "by a broken message"],
)
async def test_a_reply_complete_before_the_half_close_is_trailers_then_no_error(path: str, body: bytes) -> None:
    async with target() as victim, raw_client(victim.port) as client:
        await client.send(client.head(1, request(path)), DataFrame(1, data=body))
        answer = await client.heard(1)
        await client.until(lambda: answer.reset is not None)
        assert answer.ended
        assert answer.reset == ErrorCodes.NO_ERROR
        assert answer.fields["grpc-status"] != "0"
        await client.send(DataFrame(1, data=HI), DataFrame(1, data=b"", flags=["END_STREAM"]))  # It was on its way.
        await a_good_call_succeeds(client, 3)


async def test_a_status_message_travels_percent_encoded_whatever_is_in_it() -> None:
    async with target() as victim, raw_client(victim.port) as client:
        victim.odd.failure = GRPCError(Status.ABORTED, "naïve 100 %\r\n\x00☃🎉", b"\x00\xff details")
        await client.send(client.head(1, request(FAIL)), body_of(1, HI))
        answer = await client.heard(1)
        has_status(answer, Status.ABORTED)
        assert answer.fields["grpc-message"] == "na%C3%AFve 100 %25%0D%0A%00%E2%98%83%F0%9F%8E%89"
        assert answer.fields["grpc-status-details-bin"] == "AP8gZGV0YWlscw"
        await a_good_call_succeeds(client, 3)


async def test_many_bad_calls_on_one_connection_leave_it_sound() -> None:
    """Each row in turn, all of them twenty times over: far more bytes than the connection's window."""
    async with target() as victim, raw_client(victim.port) as client:
        stream_id = 1
        for _ in range(20):
            for row in ROWS.values():
                if row.body is not None:
                    await client.send(client.head(stream_id, row.fields), body_of(stream_id, row.body))
                    has_status(await client.heard(stream_id), row.status, row.http)
                    stream_id += 2
        await a_good_call_succeeds(client, stream_id)


async def test_a_call_with_too_much_metadata_fails_alone() -> None:
    async with target() as victim, raw_client(victim.port) as client:
        await client.send(client.head(1, [*request(), *HUGE], end=True))
        assert (await client.heard(1)).fields["grpc-status"] == str(Status.RESOURCE_EXHAUSTED.value)
        # HPACK's table has kept up: the next call on the same connection is understood.
        await client.send(client.head(3, request()), DataFrame(3, data=HI, flags=["END_STREAM"]))
        assert (await client.heard(3)).fields["grpc-status"] == "0"
        await victim.serves()
