"""RFC 7541, header compression: every representation is read, and what cannot be read ends the connection (§4.3)."""

import hpack
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.http2_frames import HEADER_TABLE_SIZE, continuation, data
from tests.support.http2_frames import settings as settings_frame
from tests.support.reactions import (
    HALF_CLOSED,
    LIVE,
    OPEN,
    REQUEST,
    RESPONSE,
    Row,
    both_roles,
    each,
    headers,
    judge,
    opened,
    row,
    without,
)
from tests.support.rfc9113 import Endpoint, Part, Role

BROKEN = "connection COMPRESSION_ERROR"

# A head whose block leaves the table as it is: all by the static table, or literal without indexing (RFC 7541 §6.2.2).
CALL = b"\x83\x86\x04\x04/s/m\x01\x04test\x0f\x10\x10application/grpc"
FIELD = b"\x00\x01t\x01v"
ANSWER = b"\x88\x0f\x10\x10application/grpc"


def head(tail: bytes = b"", front: bytes = b"", *, end: bool = False) -> Part:
    """The head that the peer may send on stream 1, with these bytes before and behind."""

    def part(endpoint: Endpoint) -> bytes:
        middle = CALL if endpoint.role == "server" else ANSWER
        if endpoint.role == "client" and not endpoint.open_calls:
            endpoint.open()
        return headers(1, front + middle + tail, end=end)(endpoint)

    return part


GOOD = {
    "an indexed field": b"\x90",  # accept-encoding: gzip, deflate
    "incremental indexing, an indexed name": b"\x58\x05value",
    "incremental indexing, an indexed name, Huffman": b"\x58\x84\xee\x3a\x2d\x2f",
    "incremental indexing, a new name": b"\x40\x04test\x05value",
    "incremental indexing, a new name, Huffman": b"\x40\x83\x49\x50\x9f\x84\xee\x3a\x2d\x2f",
    "without indexing, an indexed name": b"\x0f\x09\x05value",
    "without indexing, an indexed name, Huffman": b"\x0f\x09\x84\xee\x3a\x2d\x2f",
    "without indexing, a new name": b"\x00\x04test\x05value",
    "without indexing, a new name, Huffman": b"\x00\x83\x49\x50\x9f\x84\xee\x3a\x2d\x2f",
    "never indexed, an indexed name": b"\x1f\x09\x05value",
    "never indexed, an indexed name, Huffman": b"\x1f\x09\x84\xee\x3a\x2d\x2f",
    "never indexed, a new name": b"\x10\x04test\x05value",
    "never indexed, a new name, Huffman": b"\x10\x83\x49\x50\x9f\x84\xee\x3a\x2d\x2f",
    "a field that was indexed before": b"\x40\x04test\x05value\xbe",
    "a name that was indexed before": b"\x40\x04test\x05value\x7e\x05other",
    "an empty value": b"\x00\x04test\x00",
    "an empty value, Huffman": b"\x00\x04test\x80",
    "a field larger than the table empties it": b"\x40\x04test\x7f\xa1\x1e" + bytes(b"v" * 4_000),
}
SIZES = {
    "a size update": b"\x30",
    "a size update to 0": b"\x20",
    "a size update to 4,096": b"\x3f\xe1\x1f",
    "two size updates": b"\x20\x3f\xe1\x1f",
}
BAD = {
    # §2.3.3, §6.1
    "index 0": b"\x80",
    "an index beyond the table": b"\xff\x00",
    "an index far beyond the table": b"\xff\xff\xff\x7f",
    "a literal whose name is beyond the table": b"\x7f\xff\x7f\x05value",
    "without indexing, a name beyond the table": b"\x0f\xff\x7f\x05value",
    # §4.2, §6.3
    "a size update at the end": b"\x20",
    "a size update in the middle": b"\x20\x90",
    # §5.1
    "an integer without end": b"\xff" + b"\x80" * 40,
    "an integer of many bytes": b"\xff" + b"\xff" * 20 + b"\x7f",
    "an integer that breaks off": b"\xff\x80",
    # §5.2
    "a name that breaks off": b"\x40\x7f\x02abc",
    "a value that breaks off": b"\x40\x01a\x05bc",
    "a literal without a value": b"\x40\x01a",
    "Huffman with more than 7 bits of padding": b"\x00\x85\xf2\xb2\x4a\x84\xff\x84\x49\x50\x9f\xff",
    "Huffman with zeros for padding": b"\x00\x85\xf2\xb2\x4a\x84\xff\x83\x49\x50\x90",
    "Huffman with EOS": b"\x00\x85\xf2\xb2\x4a\x84\xff\x88\x49\x50\x9f\xff\xff\xff\xff\xff",
    "a name in Huffman with EOS": b"\x00\x84\xff\xff\xff\xff\x01v",
}
EITHER = [
    *(row(f"{name}: taken", "call | head", head(tail)) for name, tail in GOOD.items()),
    *(row(f"{name}: taken", "call | head", head(front=front)) for name, front in SIZES.items()),
    *(row(name, BROKEN, head(tail)) for name, tail in BAD.items()),
    *(row(f"{name}, END_STREAM", BROKEN, head(tail, end=True)) for name, tail in BAD.items()),
    *(
        row(f"{name}, in trailers", BROKEN, headers(1, FIELD + tail, end=True), before=(LIVE,))
        for name, tail in BAD.items()
    ),
    row("a size update above our SETTINGS", BROKEN, head(front=b"\x3f\xe1\xff\x7f")),
    row("by one byte", BROKEN, head(front=b"\x3f\xe2\x1f")),
    row(
        "whatever the peer's own SETTINGS say",
        BROKEN,
        settings_frame((HEADER_TABLE_SIZE, 8_192)),
        head(front=b"\x3f\xe2\x1f"),
    ),
    row(
        "an empty block of trailers",
        "nothing | status UNKNOWN | status INTERNAL",
        headers(1, b"", end=True),
        before=(LIVE,),
    ),
]
# A block that cannot be read ends the connection wherever it stands: the table is lost.
SERVER = [
    row("on a half-closed stream", BROKEN, headers(1, b"\x80", end=True), before=(HALF_CLOSED,)),
    row(
        "on a stream that was reset",
        BROKEN,
        headers(1, b"\x80", end=True),
        before=(OPEN, b"\0\0\4\3\0\0\0\0\1\0\0\0\x08"),
    ),
    row("after a good part", BROKEN, headers(1, CALL, complete=False), continuation(1, b"\x80")),
    row("of a request that is malformed anyway", BROKEN, headers(1, b"\x00\x01X\x01v\x80")),
]
CLIENT = [
    row(
        "after the end",
        f"{BROKEN} | connection STREAM_CLOSED",
        headers(1, b"\x80", end=True),
        before=(
            opened(end=True),
            headers(1, (*RESPONSE, ("grpc-status", "0")), end=True),
        ),
    ),
    row("of an informational head", BROKEN, headers(1, b"\x08\x03103\x80"), before=(opened(),)),
]


@both_roles
@each(EITHER)
def test_representations(role: Role, row: Row) -> None:
    judge(role, row)


@each(SERVER)
def test_blocks_of_a_client_that_cannot_be_read(row: Row) -> None:
    judge("server", row)


@each(CLIENT)
def test_blocks_of_a_server_that_cannot_be_read(row: Row) -> None:
    judge("client", row)


GOOD_BLOCKS = st.lists(st.sampled_from([*GOOD.values(), *SIZES.values()]), min_size=1, max_size=4).map(b"".join)
BLOCKS = st.one_of(
    st.binary(max_size=40),
    GOOD_BLOCKS,
    st.builds(lambda block, cut: block[: cut % len(block)], GOOD_BLOCKS, st.integers(0, 10_000)),
    st.builds(lambda block, noise: block + noise, GOOD_BLOCKS, st.binary(max_size=6)),
)


@both_roles
@given(block=BLOCKS)
@settings(max_examples=500, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_a_block_that_another_decoder_refuses_ends_the_connection_without_an_exception(
    role: Role, block: bytes
) -> None:
    endpoint = Endpoint(role)
    endpoint.feed(head())  # It leaves the table empty.
    endpoint.look()
    endpoint.feed(headers(1, block, end=True))
    assert readable(block) or endpoint.reaction(1) == BROKEN


def readable(block: bytes) -> bool:
    """Whether it can be read with an empty table."""
    decoder = hpack.Decoder()
    decoder.max_allowed_table_size = 4_096
    try:
        decoder.decode(block, raw=True)
    except hpack.HPACKError:
        return False
    return True


def test_the_table_persists_between_calls() -> None:
    endpoint = Endpoint("server")
    endpoint.feed(
        headers(1, CALL + b"\x40\x06x-note\x05first"), headers(3, CALL + b"\xbe"), headers(5, CALL + b"\x7e\x06second")
    )
    assert [call.metadata["x-note"] for call in endpoint.requests()] == ["first", "first", "second"]


def test_a_smaller_table_forgets_what_no_longer_fits() -> None:
    endpoint = Endpoint("server")
    endpoint.feed(headers(1, CALL + b"\x40\x06x-note\x05first"), headers(3, b"\x20\x3f\xe1\x1f" + CALL + b"\xbe"))
    assert endpoint.reaction(3) == BROKEN


def test_our_own_blocks_are_read_by_another_decoder_whatever_the_fields() -> None:
    endpoint = Endpoint("client")
    for number in range(50):
        endpoint.open(metadata={"x-request-id": str(number), "x-same": "same", f"x-{number}": "v" * number})
    assert [endpoint.heads[2 * number + 1][0]["x-request-id"] for number in range(50)] == [str(n) for n in range(50)]
    assert endpoint.heads[99][0]["x-49"] == "v" * 49


def test_data_between_blocks_leave_the_table_alone() -> None:
    endpoint = Endpoint("server")
    endpoint.feed(headers(1, (*REQUEST, ("x-note", "first"))), data(1, b"x" * 100))
    endpoint.feed(headers(3, (*without(REQUEST, "te"), ("x-note", "first"))))
    assert endpoint.requests()[1].metadata["x-note"] == "first"
