"""Requests' header blocks mean what the requests say, whatever came before them, and those of a method are short."""

from collections.abc import Sequence
from types import ModuleType

import hpack
import pytest
from hypothesis import given
from hypothesis import strategies as st
from multidict import MultiDict

from echo.wire import GRPCError, Request, Status
from echo.wire.hpack import Decoder, Encoder
from echo.wire.request_heads import MAX_KNOWN, MAX_KNOWN_SIZE, RequestHeads
from echo.wire.settings import UNLIMITED
from tests.support.hpack_blocks import LIBRARIES, pairs

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
    encoder = Encoder(library)
    heads = RequestHeads(encoder)
    decoders = [Decoder(10**6, hpack), Decoder(10**6)]
    for step in steps:
        if isinstance(step, int):
            encoder.resize(step)
            continue
        block = heads.encode(step, UNLIMITED)
        for decoder in decoders:
            assert pairs(decoder, block) == step.fields()


def test_a_method_that_was_called_before_is_an_index_for_each_field() -> None:
    heads = RequestHeads(Encoder())
    first, second, third = (heads.encode(Request("/s/m"), UNLIMITED) for _ in range(3))
    assert len(first) > len(second) == len(Request("/s/m").fields())
    assert second == third
    assert heads.encode(Request("/s/m", timeout=1.0), UNLIMITED).startswith(second[:4])


@pytest.mark.parametrize("called_before", [False, True])
def test_a_request_larger_than_the_peer_accepts_is_refused_and_leaves_no_trace(called_before: bool) -> None:
    encoder, decoder = Encoder(), Decoder(10**6, hpack)
    heads = RequestHeads(encoder)
    for _ in range(3 * called_before):
        decoder.decode(heads.encode(Request("/s/m"), UNLIMITED))
    for request in (Request("/s/m", metadata=MultiDict({"x-a": "1" * 500})), Request("/s/" + "m" * 500)):
        with pytest.raises(GRPCError, match=r"exceeds the peer's limit of 600") as refused:
            heads.encode(request, 600)
        assert refused.value.status is Status.RESOURCE_EXHAUSTED
    with pytest.raises(ValueError, match="reserved"):
        heads.encode(Request("/s/m", metadata=MultiDict({"grpc-timeout": "1S"})), UNLIMITED)
    with pytest.raises(GRPCError):
        heads.encode(Request("/s/m"), 100)
    request = Request("/s/m")
    assert pairs(decoder, heads.encode(request, UNLIMITED)) == request.fields()


def test_memory_is_bounded() -> None:
    heads = RequestHeads(Encoder())
    most = 0
    for _ in range(2):  # Then HPACK's table has all of the values.
        for number in range(2 * MAX_KNOWN):
            heads.encode(Request(f"/s/{number % 25}", authority="a", user_agent=f"{number // 25}"), UNLIMITED)
            most = max(most, len(heads._known))
    assert most == MAX_KNOWN
    heads.encode(Request("/s/" + "m" * MAX_KNOWN_SIZE), UNLIMITED)
    assert all(size <= MAX_KNOWN_SIZE for _, size in heads._known.values())
