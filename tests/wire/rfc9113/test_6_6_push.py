"""RFC 9113 §6.6 and §8.4, server push: clients push nothing, and ours has switched it off."""

from tests.support.http2_frames import (
    ENABLE_PUSH,
    PADDED,
    PUSH_PROMISE,
    continuation,
    frame,
    padded,
    push_promise,
)
from tests.support.reactions import (
    BY_PROTOCOL,
    BY_SIZE,
    HALF_CLOSED,
    LIVE,
    OPEN,
    Row,
    cancelled,
    each,
    judge,
    opened,
    row,
)
from tests.support.rfc9113 import Endpoint

BLOCK = b"\x82\x86\x84"  # GET http /

SERVER = [
    row("a client pushes nothing", BY_PROTOCOL, push_promise(1, 2, BLOCK), before=(OPEN,)),
    row("not on a half-closed stream", BY_PROTOCOL, push_promise(1, 2, BLOCK), before=(HALF_CLOSED,)),
    row("not on an idle stream", BY_PROTOCOL, push_promise(1, 3, BLOCK)),
    row("not on stream 0", BY_PROTOCOL, push_promise(0, 2, BLOCK), stream=0),
]
CLIENT = [
    row("push is off", BY_PROTOCOL, push_promise(1, 2, BLOCK), before=(opened(),)),
    row("after the head as well", BY_PROTOCOL, push_promise(1, 2, BLOCK), before=(LIVE,)),
    row("on a call of ours that is half-closed", BY_PROTOCOL, push_promise(1, 2, BLOCK), before=(opened(end=True),)),
    row("on a call that we have reset", BY_PROTOCOL, push_promise(1, 2, BLOCK), before=(opened(), cancelled())),
    row("on stream 0", BY_PROTOCOL, push_promise(0, 2, BLOCK), stream=0),
    row("on a stream of the server's", BY_PROTOCOL, push_promise(2, 4, BLOCK), stream=2),
    row("of an odd stream", BY_PROTOCOL, push_promise(1, 3, BLOCK), before=(opened(),)),
    row(
        "in fragments",
        BY_PROTOCOL,
        frame(PUSH_PROMISE, 0, 1, b"\0\0\0\2" + BLOCK),
        continuation(1),
        before=(opened(),),
    ),
    row(
        "with too much padding",
        BY_PROTOCOL,
        frame(PUSH_PROMISE, 4 | PADDED, 1, padded(b"\0\0\0\2", 0, claimed=9)),
        before=(opened(),),
    ),
    row("of 3 bytes", f"{BY_PROTOCOL} | {BY_SIZE}", frame(PUSH_PROMISE, 4, 1, b"\0\0\0"), before=(opened(),)),
]


@each(SERVER)
def test_a_client_that_pushes(row: Row) -> None:
    judge("server", row)


@each(CLIENT)
def test_a_server_that_pushes(row: Row) -> None:
    judge("client", row)


def test_our_client_says_that_push_is_off() -> None:
    assert (ENABLE_PUSH, 0) in Endpoint("client").settings


def test_our_server_does_not_say_that_it_would_push() -> None:
    assert (ENABLE_PUSH, 1) not in Endpoint("server").settings
