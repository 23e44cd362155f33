"""Close codes (RFC 6455 §7.4, IANA's WebSocket Close Code Number Registry): which pass, and what becomes of others."""

import pytest
import trio

from echo.gateway.hypercorn_compat import install
from tests.gateway.hypercorn_compat.clients import connected, frames, heard, upgraded
from tests.gateway.hypercorn_compat.in_process import Receive, Scope, Send, accept, send_close, serving, until_left
from tests.support.frames import CLOSE, close
from tests.support.gateway import running_gateway

pytestmark = pytest.mark.usefixtures("nothing_left", "no_close_timeout")

PASSING = [1000, 1001, 1002, 1003, *range(1007, 1015), 3000, 3999, 4000, 4999]
RESERVED = [0, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000, 65_535]


async def test_every_code_that_may_be_sent_is_echoed_and_every_other_one_answered_1002() -> None:
    answers = {}
    async with running_gateway() as gateway:
        for code in PASSING + RESERVED:
            async with connected(gateway.port) as stream:
                await upgraded(stream, path="/ws/stream/bidirectional")
                await stream.send_all(close(code, "why é".encode()))
                with trio.fail_after(20):
                    answers[code] = frames((await heard(stream))[0])
    for code in PASSING:
        assert answers[code] == [(CLOSE, code.to_bytes(2) + "why é".encode())]
    for code in RESERVED:
        [(opcode, payload)] = answers[code]
        assert (opcode, payload[:2]) == (CLOSE, (1002).to_bytes(2))


@pytest.mark.parametrize("fails", [False, True])
async def test_an_application_that_ends_without_a_close_frame_closes_with_1011(fails: bool) -> None:
    async def app(_scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await accept(send)
        if fails:
            raise RuntimeError

    install()
    async with serving(app) as running, connected(running.port) as stream:
        await upgraded(stream)
        with trio.fail_after(20):
            assert frames((await heard(stream))[0]) == [(CLOSE, (1011).to_bytes(2))]


async def test_the_server_sends_each() -> None:
    codes = iter(PASSING)

    async def app(_scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await accept(send)
        await send_close(send, next(codes))
        await until_left(receive)

    async with serving(app) as running:
        for code in PASSING:
            async with connected(running.port) as stream:
                await upgraded(stream)
                with trio.fail_after(20):
                    data, _ = await heard(stream, code.to_bytes(2))
                assert frames(data) == [(CLOSE, code.to_bytes(2))]
