"""How the evidence is requested, watched, and sent as a report in a call's own trailers."""

import json
from collections.abc import AsyncIterator

import pytest
import trio
import trio.testing

from echo.evidence import as_json
from echo.pb.com.gopay.echo.evidence import GetRequest, Record
from echo.pb.com.gopay.echo.streaming import StreamMessage
from echo.rpc import GRPCError, Status
from tests.support.evidence import NAME, recorded
from tests.support.scripted import EVIDENCE, Echo, scripted_echo
from tests.support.services import SERVER_STREAM


async def test_every_attempt_is_returned_the_latest_first_and_the_others_in_order() -> None:
    async with scripted_echo() as echo:
        for status in ("14", "10", "0"):
            await echo.call("GetReply", NAME, ("status", status))
        record = await echo.record()
        assert (record.attempt, record.status) == (3, "OK")
        assert [(other.attempt, other.status) for other in record.other_attempts] == [
            (1, "UNAVAILABLE"),
            (2, "ABORTED"),
        ]


async def test_a_call_nobody_recorded_is_not_found() -> None:
    async with scripted_echo() as echo:
        await echo.call("GetReply")
        with pytest.raises(GRPCError) as raised:
            await echo.record()
        assert raised.value.status is Status.NOT_FOUND
        with pytest.raises(GRPCError) as raised:
            async for _ in watched(echo):
                pass
        assert raised.value.status is Status.NOT_FOUND


async def watched(echo: Echo) -> AsyncIterator[Record]:
    async with echo.channel.request(f"{EVIDENCE}/Watch", SERVER_STREAM, GetRequest, Record) as stream:
        await stream.send_message(GetRequest("a"))
        async for record in stream:
            yield record


async def test_watch_tells_changes_until_the_call_has_ended(autojump_clock: trio.testing.MockClock) -> None:
    async with scripted_echo() as echo, echo.stream("BidirectionalStream", NAME) as stream:
        told: list[Record] = []

        async def watch() -> None:
            told.extend([record async for record in watched(echo)])

        await stream.send_message(StreamMessage(stream_id="a"))
        assert await stream.recv_message() is not None
        async with trio.open_nursery() as nursery:
            nursery.start_soon(watch)
            for _ in range(3):
                await trio.sleep(1)
                await stream.send_message(StreamMessage(stream_id="a"))
                assert await stream.recv_message() is not None
            await trio.sleep(10)
            await stream.end()
            assert await stream.recv_message() is None
        assert list(dict.fromkeys(record.messages_in for record in told)) == [1, 2, 3, 4]
        assert [record.outcome for record in told if record.outcome] == ["completed"]
        assert told[-1].outcome == "completed"


async def test_watching_a_call_that_has_ended_ends_at_once() -> None:
    async with scripted_echo() as echo:
        await recorded(echo)
        assert [record.outcome async for record in watched(echo)] == ["completed"]


async def test_a_busy_call_is_told_of_now_and_then(autojump_clock: trio.testing.MockClock) -> None:
    async with scripted_echo() as echo:
        script = NAME, ("count", "1000"), ("interval", "1ms")
        async with echo.stream("ServerStream", *script) as stream:
            await stream.send_message(StreamMessage(stream_id="a"))
            assert await stream.recv_message() is not None
            async with trio.open_nursery() as nursery:

                async def drain() -> None:
                    assert len([reply async for reply in stream]) == 999

                nursery.start_soon(drain)
                records = [record async for record in watched(echo)]
        assert 10 <= len(records) <= 25
        assert (records[-1].messages_out, records[-1].outcome) == (1_000, "completed")


# The report in the trailers


async def test_a_report_is_the_evidence_as_json_with_the_same_names() -> None:
    async with scripted_echo() as echo:
        seen = await echo.call("GetReply", NAME, ("report", "true"), ("status", "5:Gr%C3%BC%C3%9Fe"))
        (report,) = [value for name, value in seen.trailers if name == "x-echo-report"]
        assert isinstance(report, str)
        told = json.loads(report)
        record = await echo.record()
    asked = as_json(record)
    del told["ended"], asked["ended"]
    assert told == asked
    assert (told["status"], told["cause"]) == ("NOT_FOUND", "Grüße")


async def test_a_report_needs_no_call_id_and_leaves_no_record() -> None:
    async with scripted_echo() as echo:
        seen = await echo.call("ServerStream", ("report", "true"), ("interval", "0"))
        told = json.loads(str(dict(seen.trailers)["x-echo-report"]))
        assert (told["call_id"], told["messages_out"], told["outcome"]) == ("", 5, "completed")
        with pytest.raises(GRPCError, match="NOT_FOUND"):
            await echo.record("")


@pytest.mark.parametrize("messages", [1, 300, 2_000])
@pytest.mark.parametrize("header", [0, 3_000, 9_000])
async def test_a_report_has_at_most_4_kib(messages: int, header: int) -> None:
    async with scripted_echo() as echo:
        script = ("report", "true"), (" x-long", "\\" * header)
        seen = await echo.call("ClientStream", *script, messages=messages)
        report = str(dict(seen.trailers)["x-echo-report"])
        assert len(report) <= 4_096
        told = json.loads(report)
        assert told["messages_in"] == messages
        assert told.get("truncated", False) == (messages > 200 or header > 1_000)
