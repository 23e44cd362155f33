"""What the evidence says of calls that ended in every way there is, and how it is asked for and watched."""

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
import trio
import trio.testing
from hyperframe.frame import RstStreamFrame

from echo.evidence import INSTANCE, as_json
from echo.pb.com.gopay.echo import Message, Response
from echo.pb.com.gopay.echo.evidence import EvidenceStub, GetRequest, Record
from echo.pb.com.gopay.echo.streaming import StreamMessage
from echo.rpc import GRPCError, Limits, Server, Status, bind, open_channel
from echo.services import EchoService, echo_services
from tests.support.http2_frames import data
from tests.support.raw import RawConnection, raw_client
from tests.support.scripted import EVIDENCE, STREAMING, Echo, scripted_echo
from tests.support.services import SERVER_STREAM, UNARY
from tests.support.serving import LOOPBACK, serving
from tests.support.target import request

NAME: tuple[str, str] = ("call-id", "a")
HEAD = request(f"{STREAMING}/BidirectionalStream", x_echo_call_id="a")


@asynccontextmanager
async def raw_echo() -> AsyncIterator[tuple[RawConnection, Callable[[], Awaitable[Record]]]]:
    """The services over TCP: a client of them by hand, and what asks for the record."""
    async with (
        serving(Server(echo_services().services)) as port,
        raw_client(port) as client,
        open_channel(LOOPBACK, port) as channel,
        bind(EvidenceStub, channel) as stub,
    ):
        yield client, lambda: stub.get(GetRequest("a"))


async def settles_to(record: Callable[[], Awaitable[Record]], outcome: str) -> None:
    """Wait until the call has ended so."""
    for _ in range(1_000):
        if (await record()).outcome == outcome:
            return
    raise AssertionError((await record()).outcome)


async def recorded(echo: Echo, name: str = "GetReply", *script: tuple[str, str], messages: int = 1) -> Record:
    await echo.call(name, NAME, *script, messages=messages)
    await trio.testing.wait_all_tasks_blocked()
    return await echo.record()


def end(record: Record) -> tuple[str, str, str]:
    return record.outcome, record.status, record.cause


async def test_a_record_says_who_called_what_and_when() -> None:
    async with scripted_echo() as echo:
        await echo.call("GetReply")
        record = await recorded(echo)
    assert (record.call_id, record.attempt) == ("a", 1)
    assert (record.service, record.method) == ("com.gopay.echo.Server", "GetReply")
    assert (record.instance, record.protocol, record.peer, record.stream_id) == (INSTANCE, "HTTP/2", "memory", 3)
    assert record.connection_id > 0
    assert 0 <= record.connection_age < 60
    assert (record.messages_in, record.bytes_in, record.messages_out, record.bytes_out) == (1, 4, 1, 18)
    assert record.deadline_left is None
    assert record.started is not None
    assert record.first_message is not None
    assert record.half_closed is not None
    assert record.ended is not None
    assert record.started <= record.first_message <= record.half_closed <= record.ended
    assert record.message_times_in == [record.first_message]
    assert (record.compressed_in, record.window_stalled) == (0, 0)
    assert end(record) == ("completed", "OK", "")


async def test_the_pod_is_named_as_the_environment_has_it(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("POD_NAME", "NAMESPACE", "NODE_NAME", "SERVICE_NAME", "INGRESS_NAME"):
        monkeypatch.setenv(name, f"the {name}")
    async with scripted_echo() as echo:
        record = await recorded(echo)
    place = [record.pod, record.namespace, record.node, record.service_name, record.ingress]
    assert place == ["the POD_NAME", "the NAMESPACE", "the NODE_NAME", "the SERVICE_NAME", "the INGRESS_NAME"]


async def test_request_headers_keep_their_order_and_repeats_but_no_secrets() -> None:
    async with scripted_echo() as echo:
        script = [(" z", "1"), (" z", "2"), (" authorization", "Bearer s3cret"), (" cookie", "s3cret")]
        record = await recorded(echo, "GetReply", *script)
    fields = [(field.name, field.value) for field in record.request_headers]
    assert fields[0][0] == ":method"
    assert fields[-5:] == [("x-echo-call-id", "a"), ("z", "1"), ("z", "2"), ("authorization", "13"), ("cookie", "6")]
    assert "s3cret" not in repr(record)


async def test_a_deadline_is_told_as_it_arrived(autojump_clock: trio.testing.MockClock) -> None:
    async with scripted_echo() as echo:
        await echo.call("GetReply", NAME, timeout=7)
        assert (await echo.record()).deadline_left == pytest.approx(7, abs=0.1)


async def test_messages_are_timed_as_they_arrive_even_when_they_are_not_read(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with scripted_echo() as echo, echo.stream("BidirectionalStream", NAME, ("stall", "10s")) as stream:
        for _ in range(3):
            await stream.send_message(StreamMessage(stream_id="a"))
            await trio.sleep(1)
        record = await echo.record()
        assert record.started is not None
        times = [(time - record.started) / 1e9 for time in record.message_times_in]
        assert times == pytest.approx([0, 1, 2], abs=0.01)
        assert (record.messages_in, record.messages_out, record.outcome, record.ended) == (3, 0, "", None)
        assert record.half_closed is None
        await stream.end()
        assert len([reply async for reply in stream]) == 3
        record = await echo.record()
        assert record.started is not None
        assert record.half_closed is not None
        assert record.ended is not None
        assert (record.half_closed - record.started) / 1e9 == pytest.approx(3, abs=0.01)
        assert (record.ended - record.started) / 1e9 == pytest.approx(10, abs=0.01)


async def test_a_thousand_arrivals_are_kept_and_all_are_counted() -> None:
    async with scripted_echo() as echo:
        record = await recorded(echo, "ClientStream", messages=1_234)
    assert (record.messages_in, len(record.message_times_in)) == (1_234, 1_000)


async def test_compressed_messages_are_counted() -> None:
    async with scripted_echo() as echo:
        metadata = {"x-echo-call-id": "a"}
        path = "/com.gopay.echo.Server/GetReply"
        async with echo.channel.request(
            path, UNARY, Message, Response, metadata=metadata, compression="gzip"
        ) as stream:
            await stream.send_message(Message("x" * 10_000))
            await stream.recv_message()
        record = await echo.record()
    assert record.compressed_in == 1
    assert record.bytes_in < 1_000


async def test_pings_of_the_connection_are_counted() -> None:
    async with raw_echo() as (client, record):
        await client.send(client.head(1, HEAD), data(1, b"\0\0\0\0\3\x0a\x01a"))
        await client.until(lambda: 1 in client.streams and client.streams[1].data)
        assert (await record()).pings_in == 0
        await client.pause()
        assert (await record()).pings_in == 1


async def test_waiting_for_a_client_that_does_not_read_is_told(autojump_clock: trio.testing.MockClock) -> None:
    async with scripted_echo() as echo:
        script = NAME, ("count", "20"), ("interval", "0"), ("size", "60000")
        async with echo.stream("ServerStream", *script) as stream:
            await stream.send_message(StreamMessage(stream_id="a"))
            await trio.sleep(10)
            assert len([reply async for reply in stream]) == 20
        assert (await echo.record()).window_stalled == pytest.approx(10, abs=0.1)


# Outcomes


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


# Asking


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
