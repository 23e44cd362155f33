"""What the evidence records of a call: who called what and when, its headers, its messages, its waits."""

import pytest
import trio
import trio.testing

from echo.evidence import INSTANCE
from echo.pb.com.gopay.echo import Message, Response
from echo.pb.com.gopay.echo.streaming import StreamMessage
from tests.support.evidence import HEAD, NAME, end, raw_echo, recorded
from tests.support.http2_frames import data
from tests.support.scripted import scripted_echo
from tests.support.services import UNARY


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


async def test_waiting_for_a_client_that_does_not_read_is_reported(autojump_clock: trio.testing.MockClock) -> None:
    async with scripted_echo() as echo:
        script = NAME, ("count", "20"), ("interval", "0"), ("size", "60000")
        async with echo.stream("ServerStream", *script) as stream:
            await stream.send_message(StreamMessage(stream_id="a"))
            await trio.sleep(10)
            assert len([reply async for reply in stream]) == 20
        assert (await echo.record()).window_stalled == pytest.approx(10, abs=0.1)
