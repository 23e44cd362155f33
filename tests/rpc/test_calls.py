"""All four call types, metadata, statuses and deadlines, on trio and on asyncio, over streams in memory."""

import math
from collections.abc import Awaitable, Callable

import anyio
import pytest
from grpclib.events import (
    RecvInitialMetadata,
    RecvMessage,
    RecvRequest,
    RecvTrailingMetadata,
    SendInitialMetadata,
    SendMessage,
    SendRequest,
    SendTrailingMetadata,
    listen,
)
from h2.errors import ErrorCodes
from multidict import MultiDict

from echo.rpc import Channel, ClientStream, GRPCError, Limits, ProtocolError, Server, Status, StreamTerminatedError
from echo.rpc.testing import memory_channel, memory_channel_to
from echo.transport.memory import memory_stream_pair
from echo.wire.client import ClientConnection
from echo.wire.head import Request
from echo.wire.stream import Stream as WireStream
from tests.support.services import (
    BIDI,
    CLIENT_STREAM,
    ECHO,
    SERVER_STREAM,
    UNARY,
    BytesCodec,
    BytesStream,
    Service,
    call,
    path,
    unary,
)

Run = Callable[[Callable[[], Awaitable[None]]], None]
CODEC = BytesCodec()


async def failure(channel: Channel, name: str, message: bytes = b"", *, timeout: float | None = None) -> GRPCError:
    with pytest.raises(GRPCError) as raised:
        await unary(channel, name, message, timeout=timeout)
    return raised.value


def test_all_four_call_types_work(run: Run) -> None:
    async def main() -> None:
        async with memory_channel([ECHO], codec=CODEC) as channel:
            assert await unary(channel, "One", b"hello") == b"hello"

            async with call(channel, "Count", CLIENT_STREAM) as stream:
                for _ in range(10):
                    await stream.send_message(b"x")
                await stream.end()
                assert await stream.recv_message() == b"10"

            async with call(channel, "Repeat", SERVER_STREAM) as stream:
                await stream.send_message(b"5")
                assert [message async for message in stream] == [b"0", b"1", b"2", b"3", b"4"]

            async with call(channel, "All", BIDI) as stream:
                for number in range(5):
                    await stream.send_message(b"%d" % number)
                    assert await stream.recv_message() == b"%d" % number
                await stream.end()
                assert await stream.recv_message() is None
            assert channel.calls == 0

    run(main)


def test_an_empty_stream_and_empty_messages_are_calls_too(run: Run) -> None:
    async def main() -> None:
        async with memory_channel([ECHO], codec=CODEC) as channel:
            async with call(channel, "Count", CLIENT_STREAM) as stream:
                await stream.send_request(end=True)
                assert await stream.recv_message() == b"0"
            assert await unary(channel, "One", b"") == b""
            async with call(channel, "Repeat", SERVER_STREAM) as stream:
                await stream.send_message(b"0")
                assert await stream.recv_message() is None

    run(main)


def test_messages_larger_than_every_window_pass_both_ways(run: Run) -> None:
    async def main() -> None:
        async with memory_channel([ECHO], codec=CODEC) as channel:
            message = bytes(range(256)) * 12_000  # 3 MB
            assert await unary(channel, "One", message) == message

    run(main)


def test_many_calls_at_once_share_a_connection_within_the_server_s_limit(run: Run) -> None:
    running = 0
    most = 0

    async def slow(stream: BytesStream) -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        for _ in range(10):
            await anyio.lowlevel.checkpoint()
        message = await stream.recv_message()
        assert message is not None
        await stream.send_message(message)
        running -= 1

    async def main() -> None:
        server = Server([Service(Slow=(UNARY, slow))], codec=CODEC)
        replies: set[bytes] = set()

        async def one(channel: Channel, number: int) -> None:
            replies.add(await unary(channel, "Slow", b"%d" % number))

        async with memory_channel_to(server, codec=CODEC) as channel, anyio.create_task_group() as tasks:
            for number in range(1_000):
                tasks.start_soon(one, channel, number)
        assert len(replies) == 1_000
        assert 1 < most <= 100
        assert server.calls == 0

    run(main)


def test_metadata_goes_both_ways(run: Run) -> None:
    async def talk(stream: BytesStream) -> None:
        assert stream.metadata is not None
        await stream.recv_message()
        await stream.send_initial_metadata(metadata={"initial": str(stream.metadata["ask"])})
        await stream.send_message(b"")
        await stream.send_trailing_metadata(metadata={"final-bin": stream.metadata["ask-bin"]})

    async def main() -> None:
        async with memory_channel([Service(Talk=(UNARY, talk))], codec=CODEC) as channel:
            async with call(channel, "Talk", UNARY, metadata={"ask": "what", "ask-bin": b"\0\xff"}) as stream:
                await stream.send_message(b"")
                await stream.recv_initial_metadata()
                assert stream.initial_metadata == MultiDict({"initial": "what"})
                await stream.recv_message()
            assert stream.trailing_metadata == MultiDict({"final-bin": b"\0\xff"})

    run(main)


def test_what_is_added_to_the_metadata_of_one_answer_is_in_no_other(run: Run) -> None:
    async def change_head(event: RecvInitialMetadata) -> None:
        event.metadata["heard"] = "once"

    async def change_trailers(event: RecvTrailingMetadata) -> None:
        event.metadata["heard"] = "once"

    async def main() -> None:
        for listening in (False, True):
            async with memory_channel([ECHO], codec=CODEC) as channel:
                if listening:
                    listen(channel, RecvInitialMetadata, change_head)
                    listen(channel, RecvTrailingMetadata, change_trailers)
                for _ in range(4):  # HPACK's tables change at first.
                    async with call(channel, "One", UNARY) as stream:
                        await stream.send_message(b"x")
                        await stream.recv_message()
                    for metadata in (stream.initial_metadata, stream.trailing_metadata):
                        assert metadata == MultiDict({"heard": "once"} if listening else {})
                        metadata["a"] = "b"
                    assert stream.initial_metadata == stream.trailing_metadata
                    assert dict(stream.initial_metadata or {}).get("a") == "b"

    run(main)


def test_calls_with_the_same_metadata_do_not_share_it(run: Run) -> None:
    seen: list[MultiDict[str | bytes]] = []

    async def scribble(stream: BytesStream) -> None:
        seen.append(stream.metadata.copy())
        stream.metadata["scribbled"] = "yes"
        await stream.recv_message()
        await stream.send_message(b"")

    async def main() -> None:
        async with memory_channel([Service(Talk=(UNARY, scribble))], codec=CODEC) as channel:
            for _ in range(4):  # From the third on, HPACK encodes it to the same bytes.
                await unary(channel, "Talk", metadata={"ask": "what"})
            for _ in range(4):
                await unary(channel, "Talk")
        assert seen == 4 * [MultiDict({"ask": "what"})] + 4 * [MultiDict()]

    run(main)


def test_a_handler_s_status_reaches_the_client_unchanged(run: Run) -> None:
    async def refuse(stream: BytesStream) -> None:
        await stream.recv_message()
        raise GRPCError(Status.FAILED_PRECONDITION, "nicht möglich: 100 % ✗", b"details")

    async def main() -> None:
        async with memory_channel([Service(Refuse=(UNARY, refuse))], codec=CODEC) as channel:
            error = await failure(channel, "Refuse")
            assert (error.status, error.message) == (Status.FAILED_PRECONDITION, "nicht möglich: 100 % ✗")
            assert error.details == b"details"

    run(main)


def test_messages_sent_before_a_failure_arrive_before_it(run: Run) -> None:
    async def half(stream: BytesStream) -> None:
        await stream.send_message(b"first")
        raise GRPCError(Status.DATA_LOSS, "then nothing")

    async def main() -> None:
        async with memory_channel([Service(Half=(BIDI, half))], codec=CODEC) as channel:
            with pytest.raises(GRPCError, match="then nothing"):
                async with call(channel, "Half", BIDI) as stream:
                    await stream.send_request()
                    assert await stream.recv_message() == b"first"
                    await stream.recv_message()

    run(main)


def test_a_call_that_fails_inside_a_message_gives_the_reason(run: Run) -> None:
    async def endless(stream: BytesStream) -> None:
        await stream.send_message(b"x" * 3_000_000)

    async def main() -> None:
        async with (
            memory_channel([Service(Endless=(BIDI, endless))], codec=CODEC) as channel,
            call(channel, "Endless", BIDI) as stream,
        ):
            await stream.send_request()
            await stream.recv_initial_metadata()
            assert stream._call is not None
            stream._call.current.session.stop("the cable was cut")
            with pytest.raises(GRPCError, match="the cable was cut") as raised:
                await stream.recv_message()
            assert raised.value.status is Status.UNAVAILABLE

    run(main)


def test_a_waiter_gets_an_error_when_the_block_of_the_call_is_left(run: Run) -> None:
    async def main() -> None:
        told: list[Status] = []

        async def receive(stream: ClientStream[bytes, bytes]) -> None:
            with pytest.raises(GRPCError, match="the caller left the call before its end") as raised:
                await stream.recv_message()
            told.append(raised.value.status)

        async with (
            memory_channel([ECHO], codec=CODEC) as channel,
            anyio.create_task_group() as tasks,
            call(channel, "All", BIDI) as stream,
        ):
            await stream.send_request()
            tasks.start_soon(receive, stream)
            await anyio.wait_all_tasks_blocked()
        assert told == [Status.CANCELLED]

    run(main)


def test_a_bug_is_internal_and_reveals_nothing(run: Run, caplog: pytest.LogCaptureFixture) -> None:
    async def crash(stream: BytesStream) -> None:
        raise RuntimeError("secret")

    async def crash_in_nursery(stream: BytesStream) -> None:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(crash, stream)
            await anyio.sleep(math.inf)

    async def main() -> None:
        service = Service(Crash=(UNARY, crash), Nursery=(UNARY, crash_in_nursery))
        async with memory_channel([service], codec=CODEC) as channel:
            for name in ("Crash", "Nursery"):
                error = await failure(channel, name)
                assert (error.status, error.message) == (Status.INTERNAL, "internal server error")
                assert "secret" in caplog.text
                caplog.clear()

    run(main)


def test_a_status_raised_in_a_handler_s_nursery_is_the_call_s(run: Run) -> None:
    async def refuse() -> None:
        raise GRPCError(Status.ABORTED, "enough")

    async def nursery(stream: BytesStream) -> None:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(refuse)
            await anyio.sleep(math.inf)

    async def main() -> None:
        async with memory_channel([Service(Nursery=(UNARY, nursery))], codec=CODEC) as channel:
            error = await failure(channel, "Nursery")
            assert (error.status, error.message) == (Status.ABORTED, "enough")

    run(main)


def test_trailers_that_cannot_be_sent_are_a_bug_too(run: Run, caplog: pytest.LogCaptureFixture) -> None:
    async def wrong_metadata(stream: BytesStream) -> None:
        await stream.send_message(b"")
        await stream.send_trailing_metadata(metadata={"Not Allowed": "x"})

    async def main() -> None:
        service = Service(Metadata=(UNARY, wrong_metadata))
        async with memory_channel([service, ECHO], codec=CODEC) as channel:
            assert (await failure(channel, "Metadata")).status is Status.INTERNAL
            assert caplog.text
            assert await unary(channel, "One", b"others go on") == b"others go on"

    run(main)


def test_unknown_methods_are_unimplemented(run: Run) -> None:
    async def main() -> None:
        async with memory_channel([ECHO], codec=CODEC) as channel:
            error = await failure(channel, "Nothing")
            assert error.status is Status.UNIMPLEMENTED
            assert "/test.Service/Nothing" in (error.message or "")

    run(main)


def test_a_unary_handler_that_answers_nothing_is_a_bug(run: Run, caplog: pytest.LogCaptureFixture) -> None:
    async def nothing(stream: BytesStream) -> None:
        await stream.recv_message()

    async def main() -> None:
        async with memory_channel([Service(Nothing=(UNARY, nothing))], codec=CODEC) as channel:
            assert (await failure(channel, "Nothing")).status is Status.INTERNAL
            assert "answers with one message" in caplog.text

    run(main)


def test_a_message_that_does_not_decode_is_internal(run: Run) -> None:
    async def main() -> None:
        async with memory_channel([ECHO], codec=CODEC) as channel:
            assert (await failure(channel, "One", b"undecodable")).status is Status.INTERNAL

    run(main)


def test_two_messages_where_one_belongs_are_unimplemented(run: Run) -> None:
    async def main() -> None:
        async with memory_channel([ECHO], codec=CODEC) as channel:
            for messages in (0, 2):
                with pytest.raises(GRPCError) as raised:
                    async with call(channel, "One", CLIENT_STREAM) as stream:
                        await stream.send_request()
                        for _ in range(messages):
                            await stream.send_message(b"x")
                        await stream.end()
                        await stream.recv_message()
                assert raised.value.status is Status.UNIMPLEMENTED

    run(main)


def test_two_replies_where_one_belongs_are_refused_by_the_client(run: Run) -> None:
    async def main() -> None:
        async with memory_channel([ECHO], codec=CODEC) as channel:
            for wanted in (b"0", b"2"):
                with pytest.raises(GRPCError) as raised:
                    async with call(channel, "Repeat", UNARY) as stream:
                        await stream.send_message(wanted)
                        await stream.recv_message()
                assert raised.value.status is Status.UNIMPLEMENTED

    run(main)


def test_the_deadline_cancels_the_handler_and_fails_the_call(run: Run) -> None:
    seen: list[str] = []

    async def sleep(stream: BytesStream) -> None:
        assert stream.deadline is not None
        assert 0 < stream.deadline.time_remaining() <= 0.3
        seen.append("begun")
        try:
            await anyio.sleep(math.inf)
        finally:
            seen.append("cancelled")

    async def main() -> None:
        async with memory_channel([Service(Sleep=(UNARY, sleep))], codec=CODEC) as channel:
            await channel.connect()  # The deadline is to pass later than that.
            assert (await failure(channel, "Sleep", timeout=0.3)).status is Status.DEADLINE_EXCEEDED
            await anyio.wait_all_tasks_blocked()
        assert seen in (["begun", "cancelled"], [])  # On a busy machine the handler may be too late to begin.

    run(main)


def test_a_passed_deadline_is_reported_once(run: Run) -> None:
    async def wait(stream: BytesStream) -> None:
        await anyio.sleep_forever()

    async def main() -> None:
        async with memory_channel([Service(Wait=(BIDI, wait))], codec=CODEC) as channel:
            await channel.connect()  # The deadlines are to pass later than that.
            async with call(channel, "Wait", BIDI, timeout=0.3) as stream:
                await stream.send_message(b"")
                with pytest.raises(GRPCError, match="DEADLINE_EXCEEDED"):
                    await stream.recv_message()
            async with call(channel, "Wait", BIDI, timeout=0.3) as stream:
                with pytest.raises(GRPCError, match="DEADLINE_EXCEEDED"):
                    for _ in range(100):  # More than the windows hold.
                        await stream.send_message(bytes(10_000))

    run(main)


def test_leaving_the_block_early_cancels_the_handler(run: Run) -> None:
    async def main() -> None:
        cancelled = anyio.Event()

        async def forever(stream: BytesStream) -> None:
            try:
                number = 0
                while True:
                    await stream.send_message(b"%d" % number)
                    number += 1
            finally:
                cancelled.set()

        server = Server([Service(Forever=(SERVER_STREAM, forever))], codec=CODEC)
        async with memory_channel_to(server, codec=CODEC) as channel:
            async with call(channel, "Forever", SERVER_STREAM) as stream:
                await stream.send_message(b"")
                assert await stream.recv_message() == b"0"
            await cancelled.wait()
            assert channel.calls == 0
            assert await unary_ok(channel, server)

    async def unary_ok(channel: Channel, server: Server) -> bool:
        return (await failure(channel, "Nothing")).status is Status.UNIMPLEMENTED and server.calls == 0

    run(main)


def test_a_server_that_ends_early_with_ok_refuses_further_messages_only(run: Run) -> None:
    async def one_is_enough(stream: BytesStream) -> None:
        await stream.send_message(await stream.recv_message() or b"")

    async def main() -> None:
        async with memory_channel([Service(Enough=(BIDI, one_is_enough))], codec=CODEC) as channel:
            async with call(channel, "Enough", BIDI) as stream:
                await stream.send_message(b"a")
                assert [message async for message in stream] == [b"a"]
                with pytest.raises(StreamTerminatedError):
                    await stream.send_message(b"b")
            assert channel.calls == 0

    run(main)


def test_a_half_close_followed_by_a_reset_does_not_look_like_a_complete_request(run: Run) -> None:
    async def main() -> None:
        waiting, over = anyio.Event(), anyio.Event()
        told: list[str] = []

        async def wait(stream: BytesStream) -> None:
            waiting.set()
            try:
                await stream.recv_message()
                told.append("the end")
            except anyio.get_cancelled_exc_class():
                told.append("cancelled")
                raise
            finally:
                over.set()

        ours, theirs = memory_stream_pair()
        client = ClientConnection(Limits(), WireStream)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(Server([Service(Wait=(BIDI, wait))], codec=CODEC).serve_connection, theirs)
            client.start()
            call = client.open(Request(path("Wait")))
            await ours.send(client.take_output())
            await waiting.wait()
            client.half_close(call)
            end = client.take_output()
            client.reset(call, ErrorCodes.CANCEL)
            await ours.send(end + client.take_output())  # As haproxy does when its client has reset a call.
            await over.wait()
            await ours.aclose()
        assert told == ["cancelled"]

    run(main)


def test_cancelling_is_seen_by_the_handler(run: Run) -> None:
    async def main() -> None:
        cancelled = anyio.Event()

        async def wait(stream: BytesStream) -> None:
            try:
                await stream.recv_message()
            finally:
                cancelled.set()

        async with (
            memory_channel([Service(Wait=(BIDI, wait))], codec=CODEC) as channel,
            call(channel, "Wait", BIDI) as stream,
        ):
            await stream.send_request()
            await anyio.wait_all_tasks_blocked()
            await stream.cancel()
            await cancelled.wait()
            with pytest.raises(GRPCError) as raised:
                await stream.recv_message()
            assert raised.value.status is Status.CANCELLED

    run(main)


def test_a_server_that_resets_is_seen_as_cancelled(run: Run) -> None:
    async def reset(stream: BytesStream) -> None:
        await stream.cancel()

    async def main() -> None:
        async with memory_channel([Service(Reset=(BIDI, reset))], codec=CODEC) as channel:
            with pytest.raises(GRPCError) as raised:
                async with call(channel, "Reset", BIDI) as stream:
                    await stream.send_request()
                    await stream.recv_message()
            assert raised.value.status is Status.CANCELLED

    run(main)


def test_using_a_stream_in_the_wrong_order_is_an_error(run: Run) -> None:
    async def main() -> None:
        async with memory_channel([ECHO], codec=CODEC) as channel:
            async with call(channel, "All", BIDI) as stream:
                with pytest.raises(ProtocolError):
                    await stream.recv_message()
                with pytest.raises(ProtocolError):
                    await stream.end()
                await stream.send_request()
                with pytest.raises(ProtocolError):
                    await stream.send_request()
                await stream.end()
                with pytest.raises(ProtocolError):
                    await stream.send_message(b"x")
            async with call(channel, "One", UNARY) as stream:
                with pytest.raises(ProtocolError):
                    await stream.send_request(end=True)

    run(main)


def test_grpclib_s_events_are_dispatched_on_both_sides(run: Run) -> None:
    seen: list[str] = []

    async def note(event: object) -> None:
        seen.append(type(event).__name__)

    async def change(event: RecvMessage) -> None:
        event.message = event.message.upper()

    async def main() -> None:
        server = Server([ECHO], codec=CODEC)
        for kind in (RecvRequest, RecvMessage, SendInitialMetadata, SendMessage, SendTrailingMetadata):
            listen(server, kind, note)
        listen(server, RecvMessage, change)
        async with memory_channel_to(server, codec=CODEC) as channel:
            assert await unary(channel, "One", b"shout") == b"SHOUT"
        assert seen == ["RecvRequest", "RecvMessage", "SendInitialMetadata", "SendMessage", "SendTrailingMetadata"]
        seen.clear()
        async with memory_channel_to(Server([ECHO], codec=CODEC), codec=CODEC) as channel:
            for client_kind in (SendRequest, SendMessage, RecvInitialMetadata, RecvMessage, RecvTrailingMetadata):
                listen(channel, client_kind, note)
            await unary(channel, "One")
        assert seen == ["SendRequest", "SendMessage", "RecvInitialMetadata", "RecvTrailingMetadata", "RecvMessage"]

    run(main)


def test_an_exception_of_the_block_is_raised_unchanged(run: Run) -> None:
    async def main() -> None:
        with pytest.raises(LookupError):
            async with memory_channel([ECHO], codec=CODEC):
                raise LookupError

    run(main)
