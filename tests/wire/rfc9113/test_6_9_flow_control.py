"""RFC 9113 §6.9.1 and §6.9.2: what we send stays within the windows, even as they change."""

import pytest

from tests.support.http2_frames import (
    DEFAULT_WINDOW,
    INITIAL_WINDOW_SIZE,
    MAX_WINDOW,
    PREFACE,
    SETTINGS_ACK,
    settings,
    window_update,
)
from tests.support.reactions import GET, POST, both_roles, headers, is_whole
from tests.support.rfc9113 import Endpoint, Role


def begun(role: Role, window: int) -> Endpoint:
    """A connection on whose streams the peer grants us so many bytes."""
    begin = (PREFACE if role == "server" else b"") + settings((INITIAL_WINDOW_SIZE, window)) + SETTINGS_ACK
    return Endpoint(role, begin=begin)


def answering(window: int) -> Endpoint:
    """A server that must send a page of text on stream 1, in answer to a request that is not gRPC."""
    endpoint = begun("server", window)
    endpoint.feed(headers(1, POST, end=True))
    assert endpoint.heads[1][0][":status"] == "415"
    return endpoint


def calling(window: int, size: int = 100) -> Endpoint:
    """A client that has so many bytes to send on stream 1."""
    endpoint = begun("client", window)
    endpoint.open()
    endpoint.send_message(1, bytes(size))
    return endpoint


SENDERS = {"server": answering, "client": calling}


@both_roles
@pytest.mark.parametrize("window", [0, 1, 3])
def test_no_more_is_sent_than_the_streams_window_allows(role: Role, window: int) -> None:
    endpoint = SENDERS[role](window)
    assert len(endpoint.body(1)) == window
    assert not endpoint.ended(1)


@both_roles
def test_waiting_data_is_sent_when_the_window_opens(role: Role) -> None:
    endpoint = SENDERS[role](0)
    for sent in range(1, 6):
        endpoint.feed(window_update(1, 1))
        assert len(endpoint.body(1)) == sent
    endpoint.feed(window_update(1, 3))
    assert len(endpoint.body(1)) == 8


@both_roles
def test_waiting_data_is_sent_when_settings_open_the_window(role: Role) -> None:
    endpoint = SENDERS[role](0)
    endpoint.feed(settings((INITIAL_WINDOW_SIZE, 1)))
    assert len(endpoint.body(1)) == 1
    endpoint.feed(settings((INITIAL_WINDOW_SIZE, 5)))
    assert len(endpoint.body(1)) == 5


@both_roles
def test_a_window_may_become_negative_and_opens_only_above_0(role: Role) -> None:
    endpoint = SENDERS[role](5)
    assert len(endpoint.body(1)) == 5
    endpoint.feed(settings((INITIAL_WINDOW_SIZE, 2)))  # 3 below 0.
    endpoint.feed(window_update(1, 2))
    assert len(endpoint.body(1)) == 5
    endpoint.feed(window_update(1, 1))  # At 0.
    assert len(endpoint.body(1)) == 5
    endpoint.feed(window_update(1, 2))
    assert len(endpoint.body(1)) == 7


@both_roles
def test_settings_change_the_windows_of_streams_and_not_the_connections(role: Role) -> None:
    endpoint = begun(role, DEFAULT_WINDOW)
    endpoint.feed(settings((INITIAL_WINDOW_SIZE, 0)))
    endpoint.feed(settings((INITIAL_WINDOW_SIZE, MAX_WINDOW)))
    endpoint.feed(window_update(0, MAX_WINDOW - DEFAULT_WINDOW))  # As much as the connection's window may grow.
    assert not endpoint.failed
    is_whole(endpoint)


def test_an_answer_ends_once_it_is_sent() -> None:
    endpoint = answering(3)
    whole = answering(1_000)
    assert whole.ended(1)
    endpoint.feed(window_update(1, len(whole.body(1)) - 4))
    assert not endpoint.ended(1)
    endpoint.feed(window_update(1, 1))
    assert endpoint.ended(1)
    assert endpoint.body(1) == whole.body(1)
    is_whole(endpoint)


def test_all_streams_together_send_no_more_than_the_connections_window_allows() -> None:
    endpoint = begun("client", MAX_WINDOW)
    for number in range(3):
        endpoint.open()
        endpoint.send_message(2 * number + 1, bytes(60_000))
    assert sum(len(endpoint.body(stream)) for stream in (1, 3, 5)) == DEFAULT_WINDOW
    endpoint.feed(window_update(0, 10))
    assert sum(len(endpoint.body(stream)) for stream in (1, 3, 5)) == DEFAULT_WINDOW + 10
    endpoint.feed(window_update(0, 200_000))
    assert [len(endpoint.body(stream)) for stream in (1, 3, 5)] == [60_000] * 3


def test_one_stream_without_a_window_does_not_hold_up_another() -> None:
    endpoint = begun("client", 10)
    for stream in (1, 3):
        endpoint.open()
        endpoint.send_message(stream, bytes(100))
    endpoint.feed(window_update(3, 1_000))
    assert (len(endpoint.body(1)), len(endpoint.body(3))) == (10, 100)


def test_a_request_that_is_not_grpc_delays_no_call() -> None:
    endpoint = begun("server", 0)
    endpoint.feed(headers(1, GET, end=True), headers(3, GET, end=True))
    is_whole(endpoint)
