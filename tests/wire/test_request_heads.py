"""Requests' header blocks mean what the requests say, whatever came before them, and those of a method are short."""

from collections.abc import Sequence
from types import ModuleType

import hpack
import pytest
from hypothesis import given
from hypothesis import strategies as st
from multidict import MultiDict

from echo.wire import GRPCError, Request, Status
from echo.wire.client import MAX_PATH, ClientConnection
from echo.wire.frames import HEADER_SIZE
from echo.wire.head import MAX_METHODS, shared_fields
from echo.wire.hpack import LIBRARY, Decoder, Encoder
from echo.wire.limits import Limits
from echo.wire.settings import UNLIMITED
from echo.wire.stream import Stream
from tests.support.hpack_blocks import LIBRARIES, pairs

Client = ClientConnection[Stream]


def connection(library: ModuleType = LIBRARY) -> Client:
    client: Client = ClientConnection(Limits(), Stream)
    client._out.encoder = Encoder(library)
    client.start()
    client.take_output()
    return client


def block_of(client: Client, request: Request, limit: int = UNLIMITED) -> bytes:
    """The header block of a call to a server that accepts lists up to this size."""
    client._out.peer.max_header_list_size = limit
    client.open(request)
    return client.take_output()[HEADER_SIZE:]


metadata = st.lists(
    st.tuples(st.sampled_from(["x-a", "x-b", "authorization", "x-request-id"]), st.sampled_from(["", "1", "2" * 900])),
    max_size=3,
)
requests = st.builds(
    lambda path, timeout, metadata, encoding: Request(
        path, timeout=timeout, metadata=MultiDict(metadata), encoding=encoding
    ),
    st.sampled_from(["/s/one", "/s/two", "/s/" + "three" * 300]),
    st.sampled_from([None, 1.0, 2.5]),
    metadata,
    st.sampled_from(["identity", "gzip"]),
)
steps = st.lists(st.one_of(requests, st.sampled_from([0, 100, 4_096])), max_size=15)


@pytest.mark.parametrize("library", LIBRARIES)
@given(steps=steps)
def test_a_block_means_what_its_request_says(library: ModuleType, steps: Sequence[Request | int]) -> None:
    client = connection(library)
    decoders = [Decoder(10**6, hpack), Decoder(10**6)]
    for step in steps:
        if isinstance(step, int):
            client._out.encoder.resize(step)
            continue
        block = block_of(client, step)
        for decoder in decoders:
            assert pairs(decoder, block) == step.fields()


def test_a_method_that_was_called_before_is_an_index_for_each_field() -> None:
    client = connection()
    first, second, third = (block_of(client, Request("/s/m")) for _ in range(3))
    assert len(first) > len(second) == len(Request("/s/m").fields())
    assert second == third
    assert block_of(client, Request("/s/m", timeout=1.0)).startswith(second[:4])


@pytest.mark.parametrize("called_before", [False, True])
def test_a_request_larger_than_the_peer_accepts_is_refused_and_leaves_no_trace(called_before: bool) -> None:
    client, decoder = connection(), Decoder(10**6, hpack)
    for _ in range(3 * called_before):
        decoder.decode(block_of(client, Request("/s/m")))
    for request in (Request("/s/m", metadata=MultiDict({"x-a": "1" * 500})), Request("/s/" + "m" * 500)):
        with pytest.raises(GRPCError, match=r"exceeds the peer's limit of 600") as refused:
            block_of(client, request, 600)
        assert refused.value.status is Status.RESOURCE_EXHAUSTED
    with pytest.raises(ValueError, match="reserved"):
        block_of(client, Request("/s/m", metadata=MultiDict({"grpc-timeout": "1S"})))
    with pytest.raises(GRPCError):
        block_of(client, Request("/s/m"), 100)
    request = Request("/s/m")
    assert pairs(decoder, block_of(client, request)) == request.fields()


def test_memory_is_bounded() -> None:
    shared_fields.cache_clear()
    client = connection()
    block_of(client, Request("/" + "m" * MAX_PATH))
    assert shared_fields.cache_info().currsize == 0
    for number in range(2 * MAX_METHODS):
        block_of(client, Request(f"/s/{number}", authority="a"))
    assert shared_fields.cache_info().currsize == MAX_METHODS
    shared_fields.cache_clear()
