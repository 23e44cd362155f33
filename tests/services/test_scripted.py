"""Every row of the scripting table, as a client sees it."""

import base64

import pytest
import trio
import trio.testing
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass

from echo.pb.com.gopay.echo.evidence import GetRequest, Record
from echo.pb.com.gopay.echo.streaming import StreamMessage
from echo.rpc import GRPCError, Server, Status
from echo.services import echo_services
from tests.support.raw import raw_client
from tests.support.scripted import EVIDENCE, STREAMING, scripted_echo
from tests.support.services import UNARY
from tests.support.serving import serving
from tests.support.target import request

STREAMS = pytest.mark.parametrize("name", ["ServerStream", "BidirectionalStream"])
ALL = pytest.mark.parametrize("name", ["GetReply", "ClientStream", "ServerStream", "BidirectionalStream"])


@ALL
async def test_delay_waits_before_the_first_response(name: str, autojump_clock: trio.testing.MockClock) -> None:
    async with scripted_echo() as echo:
        usual = await echo.call(name)
        seen = await echo.call(name, ("delay", "2s"))
        assert seen.times == pytest.approx([time + 2 for time in usual.times])
        assert seen.texts == usual.texts


async def test_count_and_interval_are_the_server_stream_s(autojump_clock: trio.testing.MockClock) -> None:
    async with scripted_echo() as echo:
        seen = await echo.call("ServerStream", ("count", "20"), ("interval", "100ms"))
        assert seen.texts == [f"from server: hi (echo {number}/20)" for number in range(1, 21)]
        assert seen.times == pytest.approx([number / 10 for number in range(20)])
        assert (await echo.call("ServerStream", ("count", "3"))).times == pytest.approx([0, 1, 2])
        assert (await echo.call("ServerStream", ("interval", "0"))).times == pytest.approx([0] * 5)
        assert (await echo.call("ServerStream", ("count", "0"))).texts == []


async def test_a_response_s_timestamp_is_the_time_when_it_is_sent(
    autojump_clock: trio.testing.MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("echo.services.streaming.time.time_ns", lambda: int(trio.current_time() * 1e9))
    script = ("delay", "3s"), ("interval", "2s"), ("count", "3")
    async with scripted_echo() as echo, echo.stream("ServerStream", *script) as stream:
        await stream.send_message(StreamMessage(stream_id="a"), end=True)
        async for response in stream:
            assert response.timestamp / 1e9 == pytest.approx(trio.current_time(), abs=0.5)


async def test_interval_holds_a_bidirectional_stream_back(autojump_clock: trio.testing.MockClock) -> None:
    async with scripted_echo() as echo:
        seen = await echo.call("BidirectionalStream", ("interval", "100ms"), messages=5)
        assert seen.times == pytest.approx([0, 0.1, 0.2, 0.3, 0.4])


@ALL
@pytest.mark.parametrize("size", [0, 20, 127, 130, 16_384, 100_000, 4 * 2**20])
async def test_size_is_that_of_each_response(name: str, size: int) -> None:
    async with scripted_echo() as echo:
        (usual, *_) = (await echo.call(name, ("count", "2"), ("interval", "0"))).texts
        seen = await echo.call(name, ("size", str(size)), ("count", "2"), ("interval", "0"), ("call-id", "a"))
        record = await echo.record()
        for text in seen.texts:
            assert text.startswith(usual[:20])
        least = (size - 1) * len(seen.texts)
        assert least <= record.bytes_out
        if size > 100:
            assert record.bytes_out <= size * len(seen.texts)


@ALL
@pytest.mark.parametrize("after", [None, "0"])
async def test_status_ends_the_call(name: str, after: str | None, autojump_clock: trio.testing.MockClock) -> None:
    async with scripted_echo() as echo:
        usual = await echo.call(name)
        script = [("after", after)] if after else []
        seen = await echo.call(name, ("status", "14:please retry"), *script)
        assert (seen.status, seen.message) == (Status.UNAVAILABLE, "please retry")
        # What is given in place of a single response; after the responses of a stream.
        assert seen.texts == (usual.texts if name in ("ServerStream", "BidirectionalStream") and not after else [])


@pytest.mark.parametrize("status", [status for status in Status if status is not Status.OK])
async def test_every_status_can_be_asked_for_by_number_and_by_name(status: Status) -> None:
    async with scripted_echo() as echo:
        for value in (str(status.value), status.name):
            assert (await echo.call("GetReply", ("status", f"{value}:%F0%9F%99%85"))).status is status
        assert (await echo.call("GetReply", ("status", f"{status.value}:%F0%9F%99%85 no"))).message == "🙅 no"


async def test_status_by_chance() -> None:
    async with scripted_echo() as echo:
        statuses = [(await echo.call("GetReply", ("status", "14@50,0@50"))).status for _ in range(60)]
        assert {Status.OK, Status.UNAVAILABLE} == set(statuses)
        assert (await echo.call("GetReply", ("status", "OK"))).texts == ["from server:hi"]


async def test_details_are_a_google_rpc_status() -> None:
    async with scripted_echo() as echo:
        seen = await echo.call("GetReply", ("status", "5:not here"), ("details", "true"))
        assert isinstance(seen.details, bytes)
        assert (await echo.call("GetReply", ("status", "5:not here"))).details is None
    any_proto = FileDescriptorProto(name="status.proto", package="g", syntax="proto3")
    status = any_proto.message_type.add(name="Status")
    status.field.add(name="code", number=1, type=5, label=1)
    status.field.add(name="message", number=2, type=9, label=1)
    status.field.add(name="details", number=3, type=11, label=3, type_name=".g.Any")
    message = any_proto.message_type.add(name="Any")
    message.field.add(name="type_url", number=1, type=9, label=1)
    message.field.add(name="value", number=2, type=12, label=1)
    pool = DescriptorPool()
    pool.AddSerializedFile(any_proto.SerializeToString())
    told = GetMessageClass(pool.FindMessageTypeByName("g.Status")).FromString(seen.details)
    assert (told.code, told.message) == (5, "not here")  # type: ignore[attr-defined]
    (detail,) = told.details  # type: ignore[attr-defined]
    assert (detail.type_url, detail.value) == (
        "type.googleapis.com/google.rpc.ErrorInfo",
        b"\n\x08SCRIPTED\x12\x04echo",
    )


@STREAMS
async def test_after_so_many_responses(name: str, autojump_clock: trio.testing.MockClock) -> None:
    async with scripted_echo() as echo:
        seen = await echo.call(name, ("status", "14"), ("after", "3"), messages=5 if name[0] == "B" else 1)
        assert (len(seen.texts), seen.status) == (3, Status.UNAVAILABLE)
        seen = await echo.call(name, ("status", "0"), ("after", "2"), messages=5 if name[0] == "B" else 1)
        assert (len(seen.texts), seen.status) == (2, Status.OK)


async def test_a_server_ends_early_while_the_client_still_sends() -> None:
    async with scripted_echo() as echo, echo.stream("BidirectionalStream", ("status", "0"), ("after", "1")) as stream:
        await stream.send_message(StreamMessage(stream_id="a"))
        assert await stream.recv_message() is not None
        assert await stream.recv_message() is None
        await stream.recv_trailing_metadata()


async def test_after_on_a_unary_call_the_response_goes_first() -> None:
    async with scripted_echo() as echo:
        seen = await echo.call("GetReply", ("status", "14"), ("after", "1"), ("call-id", "a"))
        assert seen.status is Status.UNAVAILABLE
        record = await echo.record()
        assert (record.messages_out, record.status) == (1, "UNAVAILABLE")


@ALL
@pytest.mark.parametrize("changes", [{}, {"x-echo-set-header": "a=1"}, {"x-echo-delay": "20ms"}])
async def test_after_0_gives_trailers_alone(name: str, changes: dict[str, str]) -> None:
    method = "/com.gopay.echo.Server/GetReply" if name == "GetReply" else f"{STREAMING}/{name}"
    fields = {**dict(request(method)), "x-echo-status": "5:no", "x-echo-after": "0", **changes}
    async with serving(Server(echo_services().services)) as port, raw_client(port) as client:
        await client.send(client.head(1, fields.items()))
        heard = await client.heard(1)
    (head,) = heard.heads
    assert (head[":status"], head["grpc-status"], head["grpc-message"], heard.data) == ("200", "5", "no", b"")
    assert head.get("a") == ("1" if "x-echo-set-header" in changes else None)


@ALL
@pytest.mark.parametrize(
    ("code", "status"),
    [
        ("CANCEL", Status.CANCELLED),
        ("REFUSED_STREAM", Status.UNAVAILABLE),
        ("8", Status.CANCELLED),
        ("INADEQUATE_SECURITY", Status.PERMISSION_DENIED),
        ("2", Status.INTERNAL),
    ],
)
async def test_reset_takes_the_place_of_trailers(
    name: str, code: str, status: Status, autojump_clock: trio.testing.MockClock
) -> None:
    async with scripted_echo() as echo:
        seen = await echo.call(name, ("reset", code), ("after", "0"))
        assert (seen.status, seen.texts) == (status, [])


@STREAMS
async def test_reset_comes_behind_the_responses(name: str, autojump_clock: trio.testing.MockClock) -> None:
    async with scripted_echo() as echo:
        script = ("reset", "INTERNAL_ERROR"), ("size", "30000")
        seen = await echo.call(name, *script, ("after", "3"), messages=5 if name[0] == "B" else 1)
        assert (len(seen.texts), seen.status) == (3, Status.INTERNAL)


async def test_goaway_drains_the_connection_while_the_call_goes_on() -> None:
    async with scripted_echo() as echo:
        async with echo.stream("BidirectionalStream", ("goaway", "true")) as stream:
            for _ in range(3):
                await stream.send_message(StreamMessage(stream_id="a"))
                assert await stream.recv_message() is not None
                await trio.testing.wait_all_tasks_blocked()
            assert (await echo.call("GetReply")).texts == ["from server:hi"]
            assert len(echo.connections) == 2
            await stream.send_message(StreamMessage(stream_id="a"))
            assert await stream.recv_message() is not None
            await stream.end()
            assert await stream.recv_message() is None
        await trio.testing.wait_all_tasks_blocked()
        assert echo.server.connections == 1


async def test_goaway_after_so_many_responses() -> None:
    script = ("goaway", "true"), ("after", "2")
    async with scripted_echo() as echo, echo.stream("BidirectionalStream", *script) as stream:
        for connections in (1, 2):
            await stream.send_message(StreamMessage(stream_id="a"))
            assert await stream.recv_message() is not None
            await trio.testing.wait_all_tasks_blocked()
            await echo.call("GetReply")
            assert len(echo.connections) == connections
        await stream.end()
        assert await stream.recv_message() is None


async def test_stall_takes_no_messages_and_fills_the_window(autojump_clock: trio.testing.MockClock) -> None:
    async with scripted_echo() as echo, echo.stream("BidirectionalStream", ("stall", "5s")) as stream:
        sent = 0
        with trio.move_on_after(3):
            while True:
                await stream.send_message(StreamMessage(stream_id="a", message="x" * 10_000))
                sent += 1
        assert 5 <= sent <= 20
        began = trio.current_time()
        assert await stream.recv_message() is not None
        assert trio.current_time() - began == pytest.approx(2)
        await stream.cancel()


async def test_succeed_after_fails_so_many_attempts() -> None:
    async with scripted_echo() as echo:
        script = ("succeed-after", "2"), ("call-id", "a")
        seen = [await echo.call("GetReply", *script) for _ in range(4)]
        assert [each.status.name for each in seen] == ["UNAVAILABLE", "UNAVAILABLE", "OK", "OK"]
        assert seen[0].message == "attempt 1: the first 2 fail"
        assert (await echo.call("GetReply", ("succeed-after", "1"), ("call-id", "b"))).status is Status.UNAVAILABLE


async def test_succeed_after_can_fail_otherwise() -> None:
    async with scripted_echo() as echo:
        script = [("succeed-after", "1"), ("call-id", "a"), ("status", "10:no")]
        first, second = [await echo.call("GetReply", *script) for _ in range(2)]
        assert (first.status, first.message, second.status) == (Status.ABORTED, "no", Status.OK)
        script = [("succeed-after", "1"), ("call-id", "b"), ("reset", "INTERNAL_ERROR")]
        first, second = [await echo.call("GetReply", *script) for _ in range(2)]
        assert (first.status, second.status) == (Status.INTERNAL, Status.OK)


@ALL
async def test_headers_and_trailers_are_added_with_repeats_and_octets(
    name: str, autojump_clock: trio.testing.MockClock
) -> None:
    octets = base64.b64encode(b"\0\xff").decode()
    async with scripted_echo() as echo:
        seen = await echo.call(
            name,
            ("set-header", "a=1"),
            ("set-header", "a=2"),
            ("set-header", f"o-bin={octets}"),
            ("set-trailer", "b_.=x=y"),
            ("set-trailer", f"o-bin={octets}"),
            ("set-trailer", "b_.=z"),
        )
        assert seen.headers == [("a", "1"), ("a", "2"), ("o-bin", b"\0\xff")]
        assert seen.trailers == [("b_.", "x=y"), ("o-bin", b"\0\xff"), ("b_.", "z")]


async def test_headers_of_a_failed_call_go_with_its_trailers() -> None:
    async with scripted_echo() as echo:
        seen = await echo.call("GetReply", ("set-header", "a=1"), ("set-trailer", "b=2"), ("status", "5"))
        assert (seen.status, dict(seen.trailers)) == (Status.NOT_FOUND, {"a": "1", "b": "2"})


async def test_what_the_service_itself_refuses_keeps_the_trailers() -> None:
    async with scripted_echo() as echo, echo.stream("BidirectionalStream", ("set-trailer", "b=2")) as stream:
        await stream.send_message(StreamMessage())
        with pytest.raises(GRPCError, match="stream_id is required"):
            await stream.recv_message()
        assert stream.trailing_metadata is not None
        assert dict(stream.trailing_metadata) == {"b": "2"}


async def test_compress_makes_responses_smaller_on_their_way() -> None:
    async with scripted_echo() as echo:
        script = ("size", "64KiB"), ("call-id", "a")
        plain = await echo.call("GetReply", *script)
        packed = await echo.call("GetReply", *script, ("compress", "gzip"))
        assert plain.texts == packed.texts
        record = await echo.record()
        assert record.other_attempts[0].bytes_out >= 65_535
        assert record.bytes_out < 1_000


@ALL
async def test_a_value_that_does_not_parse_is_named(name: str) -> None:
    async with scripted_echo() as echo:
        seen = await echo.call(name, ("delay", "61m"))
        assert (seen.status, seen.message) == (
            Status.INVALID_ARGUMENT,
            "x-echo-delay: '61m' is too long (at most 1h)",
        )


@ALL
async def test_scripting_can_be_off(name: str, autojump_clock: trio.testing.MockClock) -> None:
    async with scripted_echo(scripting=False) as echo:
        usual = await echo.call(name)
        seen = await echo.call(name, ("delay", "61m"), ("status", "14"), ("call-id", "a"))
        assert (seen.texts, seen.status) == (usual.texts, Status.OK)
        assert seen.times == pytest.approx(usual.times)
        with pytest.raises(GRPCError, match="NOT_FOUND"):
            await echo.record()


async def test_other_services_take_no_notice_of_scripts() -> None:
    script = {"x-echo-status": "14", "x-echo-call-id": "a"}
    async with scripted_echo() as echo:
        await echo.call("GetReply", ("call-id", "a"))
        async with echo.channel.request(f"{EVIDENCE}/Get", UNARY, GetRequest, Record, metadata=script) as stream:
            await stream.send_message(GetRequest("a"))
            record = await stream.recv_message()
        assert record is not None
        assert (record.attempt, record.other_attempts) == (1, [])
