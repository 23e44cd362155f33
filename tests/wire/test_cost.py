"""A stream's cost does not depend on how many are open. It is counted in Python calls, not measured by a clock."""

import sys
from collections.abc import Callable
from types import FrameType
from typing import TYPE_CHECKING

from h2.errors import ErrorCodes

from echo.wire.head import Response, Trailers
from echo.wire.limits import Limits
from echo.wire.message import encode_message
from tests.support.pair import ConnectionPair

if TYPE_CHECKING:
    from _typeshed import TraceFunction

FEW, MANY = 10, 1_000
ROUNDS = 50


def steps(act: Callable[[], None]) -> int:
    """How many functions the operation calls, in Python and C, and how many lines of Python it runs."""
    counted = 0

    def count_line(_frame: FrameType, _event: str, _argument: object) -> "TraceFunction":
        nonlocal counted
        counted += 1
        return count_line

    def count_call(_frame: FrameType, event: str, _argument: object) -> None:
        nonlocal counted
        counted += event in ("call", "c_call")

    tracing = sys.gettrace()
    sys.settrace(count_line)
    sys.setprofile(count_call)
    try:
        act()
    finally:
        sys.setprofile(None)
        sys.settrace(tracing)
    return counted


def with_open(streams: int) -> ConnectionPair:
    pair = ConnectionPair(Limits(max_concurrent_streams=2 * MANY, connection_window=2**30))
    for _ in range(streams):
        pair.open()
    pair.settle()
    return pair


def cost(act: Callable[[ConnectionPair], None], streams: int) -> float:
    """Of doing it once, with so many streams open, on average, tables and caches being warm."""
    pair = with_open(streams)
    for _ in range(10):
        act(pair)

    def repeatedly() -> None:
        for _ in range(ROUNDS):
            act(pair)

    return steps(repeatedly) / ROUNDS


def open_and_reset(pair: ConnectionPair) -> None:
    stream_id = pair.open()
    pair.client.reset(stream_id, ErrorCodes.CANCEL)
    pair.to_server()


def open_and_refuse(pair: ConnectionPair) -> None:
    pair.server.reset(pair.open(), ErrorCodes.REFUSED_STREAM)
    pair.to_client()


def call(pair: ConnectionPair) -> None:
    stream_id = pair.open()
    pair.client.send_message(stream_id, encode_message(b"question"))
    pair.client.half_close(stream_id)
    pair.to_server()
    pair.server.send_response(stream_id, Response())
    pair.server.send_message(stream_id, encode_message(b"answer"))
    pair.server.send_trailers(stream_id, Trailers())
    pair.settle()


def ping(pair: ConnectionPair) -> None:
    pair.server.ping(b"12345678")
    pair.settle()


def test_no_operation_costs_more_with_a_thousand_open_streams_than_with_ten() -> None:
    for act in (open_and_reset, open_and_refuse, call, ping):
        few, many = cost(act, FEW), cost(act, MANY)
        assert few > 10  # Something was counted.
        assert many <= 1.02 * few + 1, f"{act.__name__}: {few} steps with {FEW} streams open, {many} with {MANY}"
