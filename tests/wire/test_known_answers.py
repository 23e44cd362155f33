"""A header list that a client has seen before means what it meant the first time, and only in the same place."""

from itertools import product

import pytest

from echo.wire.events import ResponseStarted
from echo.wire.head import Response, Trailers
from tests.support.http2_frames import data
from tests.support.reactions import RESPONSE, TRAILERS, headers
from tests.support.rfc9113 import Endpoint

ANSWER = b"\0\0\0\0\1x"
HEADS = {
    "head": RESPONSE,
    "head with metadata": (*RESPONSE, ("x-served-by", "a")),
    "head with a length": (*RESPONSE, ("content-length", str(len(ANSWER)))),
    "head of gzip": (*RESPONSE, ("grpc-encoding", "gzip")),
    "head of plain text": ((":status", "404"), ("content-type", "text/plain")),
    "informational head": ((":status", "103"), ("link", "</style.css>")),
}
ENDS = {
    "trailers": TRAILERS,
    "trailers of an error": (("grpc-status", "5"),),
    "trailers with metadata": (*TRAILERS, ("x-cost", "3")),
    "trailers that say nothing": (("x-cost", "3"),),
    "trailers alone": (*RESPONSE, *TRAILERS),
}
LISTS = HEADS | ENDS


def after_earlier_calls() -> Endpoint:
    """A client whose earlier calls had all of these lists, often, in the places where they belong."""
    client = Endpoint("client")
    for _ in range(4):
        for head, end in [*((head, TRAILERS) for head in HEADS.values()), *((RESPONSE, end) for end in ENDS.values())]:
            stream = client.open()
            client.feed(headers(stream, head), data(stream, ANSWER), headers(stream, end, end=True))
        client.later()
    client.look()
    return client


def what_happens(
    client: Endpoint, first: str, second: str, *, first_ends: bool, second_ends: bool, at_once: bool
) -> list[object]:
    """What a client makes of a call with these two lists in its answer, with a message between them or in one piece."""
    stream = client.open(end=True)
    client.look()
    parts = [headers(stream, LISTS[first], end=first_ends)]
    if not first_ends:
        parts.append(headers(stream, LISTS[second], end=second_ends))
    if at_once:
        client.feed(*parts)
    else:
        for part in parts:
            if client.reaction(stream) == "head":
                client.feed(data(stream, ANSWER))
            client.feed(part)
    client.later()
    heads = [event for event in client.events if isinstance(event, ResponseStarted)]
    read = [(event.response, event.stream.messages.encoding) for event in heads]
    return [client.reaction(stream), client.failed, *client.ends(), *read]


@pytest.mark.parametrize("first", LISTS)
@pytest.mark.parametrize("at_once", [True, False], ids=["in one piece", "piece by piece"])
def test_a_known_list_means_the_same_as_a_new_one(first: str, *, at_once: bool) -> None:
    client = after_earlier_calls()
    for second, first_ends, second_ends in product(LISTS, [False, True], [False, True]):
        known, new = (
            what_happens(each, first, second, first_ends=first_ends, second_ends=second_ends, at_once=at_once)
            for each in (client, Endpoint("client"))
        )
        assert known == new, (second, first_ends, second_ends)
        assert not client.failed


def test_calls_with_metadata_share_none_of_it() -> None:
    client = after_earlier_calls()
    answers: list[Response | Trailers] = []
    for _ in range(2):
        stream = client.open()
        client.feed(headers(stream, HEADS["head with metadata"]))
        client.feed(headers(stream, ENDS["trailers with metadata"], end=True))
        answers += [event.response for event in client.events if isinstance(event, ResponseStarted)]
        answers += client.ends()
        client.look()
    assert len({id(answer.metadata) for answer in answers}) == 4
