"""Responses with a status of 1xx, which gRPC has no use for, are ignored unless they are too many."""

from h2.errors import ErrorCodes

from echo.wire.head import Request
from echo.wire.limits import Limits
from tests.support.pair import ConnectionFailed, ConnectionPair, head


def test_a_flood_of_them_ends_the_connection() -> None:
    pair = ConnectionPair(Limits(flood_burst=10, flood_rate=0))
    stream_id = pair.client.open(Request("/s/m"))
    early_hints = head(stream_id, [(":status", "103")])
    assert not list(pair.client.receive(early_hints * 5))
    *_, failure = pair.client.receive(early_hints * 10)
    assert isinstance(failure, ConnectionFailed)
    assert failure.error_code == ErrorCodes.ENHANCE_YOUR_CALM
