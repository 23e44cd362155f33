"""Concurrent calls on one HTTP/2 connection, as an ingress makes them for many users: none affects another."""

from collections.abc import AsyncIterator

import h2.settings
import pytest
import trio

from echo.pb.com.gopay.echo.streaming import StreamingServerBase, StreamMessage, StreamResponse
from echo.services import EchoService
from echo.wire import encode_message
from tests.support.gateway import running_gateway
from tests.support.quiet_clock import QuietClock
from tests.support.recording import Recorder
from tests.support.rpc_over_http import (
    BIDIRECTIONAL,
    CONNECT_STREAM,
    GET_REPLY,
    HI,
    REPLY,
    STREAMING,
    WEB,
    OverHTTP2,
    http2,
    message,
    streamed,
)
from tests.support.streams import Patient, standing_still

pytestmark = pytest.mark.usefixtures("nothing_left")


class Deaf(StreamingServerBase):
    """Reads nothing."""

    async def bidirectional_stream(
        self,
        stream_message_iterator: AsyncIterator[StreamMessage],  # noqa: ARG002
    ) -> AsyncIterator[StreamResponse]:
        yield StreamResponse(response="I hear nothing")
        await trio.sleep_forever()


@pytest.mark.slow
async def test_a_thousand_calls_and_more() -> None:
    async with running_gateway() as gateway, http2(gateway.port) as request:
        for _ in range(1_010):
            assert (await streamed(request, GET_REPLY, WEB, [HI])).messages == [REPLY]


async def test_calls_that_are_reset_beside_calls_that_are_not() -> None:
    async with running_gateway() as gateway, http2(gateway.port) as first:
        for _ in range(8):
            calls = [OverHTTP2(first.http2) for _ in range(20)]
            for number, request in enumerate(calls):
                await request.begin("POST", BIDIRECTIONAL, [("content-type", CONNECT_STREAM), ("x-a", str(number))])
                await request.send(encode_message(message(str(number))))
            for request in calls[::2]:
                await request.leave()
            for number, request in enumerate(calls):
                if number % 2:
                    assert f"from server: {number}".encode() in (await request.receive() or b"")
                    await request.leave()
        assert (await streamed(first, GET_REPLY, WEB, [HI])).messages == [REPLY]


async def test_a_server_that_does_not_read_one_stream_holds_up_no_other(clock: QuietClock) -> None:
    async with running_gateway([Deaf(), EchoService()]) as gateway, http2(gateway.port) as stuck:
        await stuck.begin("POST", BIDIRECTIONAL, [("content-type", CONNECT_STREAM)])
        with trio.move_on_after(1):
            while True:
                await stuck.send(encode_message(message("x" * 50_000)))
        with trio.fail_after(1):
            assert (await streamed(OverHTTP2(stuck.http2), GET_REPLY, WEB, [HI])).messages == [REPLY]


async def test_a_call_that_is_reset_while_its_head_waits_to_be_sent_loses_no_frame(clock: QuietClock) -> None:
    service = Patient()
    async with running_gateway([service, Recorder()]) as gateway, http2(gateway.port) as slow:
        connection = slow.http2.connection
        connection.update_settings({h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: 2**30})
        connection.increment_flow_control_window(2**30)
        await slow.begin("POST", f"{STREAMING}/ServerStream", [("content-type", WEB)])
        await slow.send(encode_message(message()))
        await slow.end()
        await standing_still(lambda: service.sent)  # The kernel is full: what is sent from now on waits.
        others = [OverHTTP2(slow.http2) for _ in range(3)]
        for number, other in enumerate(others):
            await other.begin("POST", "/test.Recorder/Unary", [("content-type", WEB), (f"initial-{number}", "new")])
            await other.send(encode_message(message()))
            await other.end()
        await trio.sleep(1)
        for other in [*others, slow]:
            await other.leave()
        await trio.sleep(1)
        response = await streamed(OverHTTP2(slow.http2), "/test.Recorder/Unary", WEB, [message()], {"initial-2": "new"})
        assert response.headers["initial-2"] == "new"
