"""Both of our roles against h2, a third-party implementation: any calls, in any order, with bytes cut anywhere.

Neither side may report an error of the other, and every call ends as its users ended it.
"""

from collections.abc import Callable

import pytest
from h2.errors import ErrorCodes
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from echo.wire.client import ClientConnection
from echo.wire.events import CallEnded, GoAwayReceived, HalfClosed
from echo.wire.frames import ErrorCode
from echo.wire.message import encode_message
from echo.wire.server import ServerConnection
from echo.wire.state import CLOSED
from echo.wire.status import Status
from echo.wire.stream import Stream
from tests.wire.h2_conversation import Call, Conversation


def test_error_codes_are_those_of_h2() -> None:
    assert {code.name: code.value for code in ErrorCode} == {code.name: code.value for code in ErrorCodes}


ACTS = st.lists(
    st.tuples(
        st.sampled_from(
            ["open", "send", "end", "reset", "take", "ping", "h2 send", "h2 end", "h2 reset", "h2 settings"]
            + ["open", "send", "h2 send"] * 2
            + ["carry"] * 6
        ),
        st.integers(0, 120),
    ),
    min_size=5,
    max_size=60,
)


@pytest.mark.parametrize("client", [True, False], ids=["our client", "our server"])
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(acts=ACTS)
def test_every_call_ends_as_its_users_ended_it(client: bool, acts: list[tuple[str, int]]) -> None:
    conversation = Conversation(client=client)
    for what, number in acts:
        conversation.act(what, number)
    conversation.finish()
    assert conversation.ours.streams == {}
    assert conversation.h2.open_inbound_streams == conversation.h2.open_outbound_streams == 0
    assert conversation.pings == 0
    for call in conversation.calls.values():
        (ended_at_client if client else ended_at_server)(call)


def ended_at_client(call: Call) -> None:
    if call.broken:
        assert call.over
        return
    assert isinstance(call.ended, CallEnded)
    assert call.ended.trailers.status is Status.ABORTED
    assert call.received == call.h2_sent
    if call.h2_heard_end:  # Otherwise the server ended the call before it had received everything.
        assert bytes(call.h2_received) == b"".join(map(encode_message, call.sent))


def ended_at_server(call: Call) -> None:
    if call.broken:
        assert call.stream is None or call.stream.state == CLOSED
        return
    assert call.h2_heard_end
    assert call.h2_fields["grpc-status"] == "10"
    assert call.h2_fields["grpc-message"] == "done %E2%9C%93"
    assert bytes(call.h2_received) == b"".join(map(encode_message, call.sent))
    if isinstance(call.ended, HalfClosed):  # Otherwise our side ended the call before it had received everything.
        assert call.received == call.h2_sent


@given(st.integers(0, 4))
def test_a_goaway_from_h2_ends_the_calls_above_its_last_stream_id(last: int) -> None:
    conversation = Conversation(client=True)
    for _ in range(4):
        conversation.open()
    conversation.settle()
    conversation.h2.close_connection(ErrorCodes.NO_ERROR, b"bye", last_stream_id=max(0, 2 * last - 1))
    told = list(conversation.ours.receive(conversation.h2.data_to_send()))
    assert told[0] == GoAwayReceived(max(0, 2 * last - 1), 0, b"bye")
    ended = [event for event in told if isinstance(event, CallEnded)]
    assert [event.stream.id for event in ended] == [number for number in (1, 3, 5, 7) if number > 2 * last - 1]
    assert all(event.unprocessed for event in ended)


@pytest.mark.parametrize("goaway", [lambda ours: ours.goaway(debug=b"bye"), lambda ours: ours.goaway(11)])
@pytest.mark.parametrize("client", [True, False])
def test_h2_takes_our_goaway(
    client: bool, goaway: Callable[[ClientConnection[Stream] | ServerConnection[Stream]], None]
) -> None:
    conversation = Conversation(client=client)
    conversation.open()
    conversation.settle()
    goaway(conversation.ours)
    events = conversation.h2.receive_data(conversation.ours.take_output())
    assert [type(event).__name__ for event in events] == ["ConnectionTerminated"]
