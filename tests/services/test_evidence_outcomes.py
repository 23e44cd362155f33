"""What the evidence says of calls that ended in every way there is."""

from collections.abc import Awaitable, Callable

import pytest
import trio
import trio.testing
from hyperframe.frame import RstStreamFrame

from echo.pb.com.gopay.echo import Message, Response
from echo.pb.com.gopay.echo.evidence import Record
from echo.pb.com.gopay.echo.streaming import StreamMessage
from echo.rpc import Limits, Status
from echo.services import EchoService
from tests.support.evidence import HEAD, NAME, end, raw_echo, recorded
from tests.support.scripted import scripted_echo


async def settles_to(record: Callable[[], Awaitable[Record]], outcome: str) -> None:
    """Wait until the call has ended so."""
    for _ in range(1_000):
        if (await record()).outcome == outcome:
            return
    raise AssertionError((await record()).outcome)


async def test_completed_whatever_the_status() -> None:
    async with scripted_echo() as echo:
        assert end(await recorded(echo, "GetReply", ("status", "5:no"))) == ("completed", "NOT_FOUND", "no")
        await echo.call("BidirectionalStream", ("call-id", "b"))
        assert end(await echo.record("b")) == ("completed", "OK", "")


async def test_cancelled_by_the_client(autojump_clock: trio.testing.MockClock) -> None:
    async with scripted_echo() as echo:
        with trio.move_on_after(3):
            await echo.call("GetReply", NAME, ("delay", "1m"))
        await trio.testing.wait_all_tasks_blocked()
        assert end(await echo.record()) == ("cancelled", "CANCELLED", "the call was reset (CANCEL)")


@pytest.mark.parametrize(("early", "expected"), [(0.01, "DEADLINE_EXCEEDED"), (0.03, "CANCELLED")])
async def test_cancelled_by_a_client_whose_timer_is_ahead_of_ours(
    early: float, expected: str, autojump_clock: trio.testing.MockClock
) -> None:
    async with scripted_echo() as echo:
        with trio.move_on_after(5 - early):
            await echo.call("GetReply", NAME, ("delay", "1m"), timeout=5)
        await trio.testing.wait_all_tasks_blocked()
        _, status, _ = end(await echo.record())
        assert status == expected


@pytest.mark.parametrize(
    ("code", "outcome", "name"),
    [(8, "cancelled", "CANCEL"), (0, "reset", "NO_ERROR"), (2, "reset", "INTERNAL_ERROR"), (99, "reset", "code 99")],
)
async def test_reset_by_the_client_for_a_reason(code: int, outcome: str, name: str) -> None:
    async with raw_echo() as (client, record):
        await client.send(client.head(1, HEAD), RstStreamFrame(1, error_code=code))
        await client.pause()
        assert end(await record()) == (outcome, "CANCELLED", f"the call was reset ({name})")


async def test_reset_by_the_server() -> None:
    async with scripted_echo() as echo:
        record = await recorded(echo, "GetReply", ("reset", "INTERNAL_ERROR"))
        assert end(record) == ("reset", "CANCELLED", "the handler reset the call")


async def test_the_deadline_passed(autojump_clock: trio.testing.MockClock) -> None:
    async with scripted_echo() as echo:
        seen = await echo.call("GetReply", NAME, ("delay", "1m"), timeout=5)
        assert seen.status is Status.DEADLINE_EXCEEDED
        await trio.testing.wait_all_tasks_blocked()
        outcome, status, _ = end(await echo.record())
        assert (outcome, status) == ("deadline", "DEADLINE_EXCEEDED")


async def test_the_connection_was_lost() -> None:
    async with raw_echo() as (client, record):
        await client.send(client.head(1, HEAD))
        await client.pause()
        assert (await record()).outcome == ""
        await client.close()
        await settles_to(record, "connection lost")
        assert end(await record()) == ("connection lost", "CANCELLED", "the other side closed the connection")


async def test_the_server_drained(autojump_clock: trio.testing.MockClock) -> None:
    async with scripted_echo(Limits(max_connection_age=10, max_connection_age_grace=5)) as echo:
        seen = await echo.call("GetReply", NAME, ("delay", "1m"))
        assert seen.status is Status.UNAVAILABLE
        text = "the connection reached its maximum age"
        assert end(await echo.record()) == ("draining", "UNAVAILABLE", text)


async def test_a_call_that_a_drain_left_alone_is_complete(autojump_clock: trio.testing.MockClock) -> None:
    async with scripted_echo() as echo:
        assert end(await recorded(echo, "GetReply", ("goaway", "true"))) == ("completed", "OK", "")


async def test_the_handler_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    async def broken(self: EchoService, message: Message) -> Response:
        raise LookupError("secret")

    monkeypatch.setattr(EchoService, "get_reply", broken)
    async with scripted_echo() as echo:
        assert end(await recorded(echo)) == ("failed", "INTERNAL", "internal server error")


async def test_the_client_took_nothing_for_too_long(autojump_clock: trio.testing.MockClock) -> None:
    async with scripted_echo(Limits(window_timeout=30)) as echo:
        script = NAME, ("count", "20"), ("interval", "0"), ("size", "60000")
        async with echo.stream("ServerStream", *script) as stream:
            await stream.send_message(StreamMessage(stream_id="a"))
            await trio.sleep(100)
            await stream.cancel()
        record = await echo.record()
        assert (record.outcome, record.cause) == ("failed", "the other side took no data of the call for 30 s")
        assert record.window_stalled >= 30
