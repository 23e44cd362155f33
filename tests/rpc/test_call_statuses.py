"""The status that a call ends with: the handler's own, or one for its bugs, for bad messages and unknown methods."""

import math
from typing import Any

import anyio
import pytest

from echo.rpc import GRPCError, Status
from echo.rpc.testing import memory_channel
from tests.support.services import (
    BIDI,
    CLIENT_STREAM,
    CODEC,
    ECHO,
    UNARY,
    BytesStream,
    Service,
    call,
    failure,
    on_both_loops,
    unary,
)


@on_both_loops
async def test_a_handler_s_status_reaches_the_client_unchanged() -> None:
    async def refuse(stream: BytesStream) -> None:
        await stream.recv_message()
        raise GRPCError(Status.FAILED_PRECONDITION, "nicht möglich: 100 % ✗", b"details")

    async with memory_channel([Service(Refuse=(UNARY, refuse))], codec=CODEC) as channel:
        error = await failure(channel, "Refuse")
        assert (error.status, error.message) == (Status.FAILED_PRECONDITION, "nicht möglich: 100 % ✗")
        assert error.details == b"details"


@on_both_loops
async def test_a_handler_that_ends_its_call_itself_has_not_failed(caplog: pytest.LogCaptureFixture) -> None:
    async def end(stream: BytesStream) -> None:
        await stream.recv_message()
        await stream.send_message(b"answer")
        await stream.send_trailing_metadata(metadata={"extra": "yes"})

    async with memory_channel([Service(End=(UNARY, end))], codec=CODEC) as channel:
        async with call(channel, "End", UNARY) as stream:
            await stream.send_message(b"")
            assert await stream.recv_message() == b"answer"
        assert dict(stream.trailing_metadata or {}) == {"extra": "yes"}
        await anyio.wait_all_tasks_blocked()
    assert [record.getMessage() for record in caplog.records if record.name.startswith("echo")] == []


@on_both_loops
async def test_messages_sent_before_a_failure_arrive_before_it() -> None:
    async def half(stream: BytesStream) -> None:
        await stream.send_message(b"first")
        raise GRPCError(Status.DATA_LOSS, "then nothing")

    async with memory_channel([Service(Half=(BIDI, half))], codec=CODEC) as channel:
        with pytest.raises(GRPCError, match="then nothing"):
            async with call(channel, "Half", BIDI) as stream:
                await stream.send_request()
                assert await stream.recv_message() == b"first"
                await stream.recv_message()


@on_both_loops
async def test_a_call_that_fails_inside_a_message_gives_the_reason() -> None:
    async def endless(stream: BytesStream) -> None:
        await stream.send_message(b"x" * 3_000_000)

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


@on_both_loops
async def test_a_bug_is_internal_and_reveals_nothing(caplog: pytest.LogCaptureFixture) -> None:
    async def crash(stream: BytesStream) -> None:
        raise RuntimeError("secret")

    async def crash_in_nursery(stream: BytesStream) -> None:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(crash, stream)
            await anyio.sleep(math.inf)

    service = Service(Crash=(UNARY, crash), Nursery=(UNARY, crash_in_nursery))
    async with memory_channel([service], codec=CODEC) as channel:
        for name in ("Crash", "Nursery"):
            error = await failure(channel, name)
            assert (error.status, error.message) == (Status.INTERNAL, "internal server error")
            assert "secret" in caplog.text
            caplog.clear()


@on_both_loops
async def test_a_handler_that_fails_by_the_end_of_another_call_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    """As in a chat that sends to a member who has left."""
    members: list[BytesStream] = []

    async def say(stream: BytesStream) -> None:
        members.append(stream)
        async for line in stream:
            for member in members:
                await member.send_message(line)

    async with memory_channel([Service(Say=(BIDI, say))], codec=CODEC) as channel:
        async with call(channel, "Say", BIDI) as stream:
            await stream.send_message(b"hello")
            assert await stream.recv_message() == b"hello"
        await anyio.wait_all_tasks_blocked()
        with pytest.raises(GRPCError, match="INTERNAL"):
            async with call(channel, "Say", BIDI) as stream:
                await stream.send_message(b"anyone?")
                await stream.recv_message()
    assert "/test.Service/Say failed" in caplog.text
    assert "await member.send_message(line)" in caplog.text
    caplog.clear()


@on_both_loops
async def test_a_status_raised_in_a_handler_s_nursery_is_the_call_s() -> None:
    async def refuse() -> None:
        raise GRPCError(Status.ABORTED, "enough")

    async def nursery(stream: BytesStream) -> None:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(refuse)
            await anyio.sleep(math.inf)

    async with memory_channel([Service(Nursery=(UNARY, nursery))], codec=CODEC) as channel:
        error = await failure(channel, "Nursery")
        assert (error.status, error.message) == (Status.ABORTED, "enough")


@on_both_loops
async def test_trailers_that_cannot_be_sent_are_a_bug_too(caplog: pytest.LogCaptureFixture) -> None:
    async def wrong_metadata(stream: BytesStream) -> None:
        await stream.send_message(b"")
        await stream.send_trailing_metadata(metadata={"Not Allowed": "x"})

    service = Service(Metadata=(UNARY, wrong_metadata))
    async with memory_channel([service, ECHO], codec=CODEC) as channel:
        assert (await failure(channel, "Metadata")).status is Status.INTERNAL
        assert caplog.text
        assert await unary(channel, "One", b"others go on") == b"others go on"


@pytest.mark.parametrize("then", ["other trailers", "an error", "a reset", "return"])
@on_both_loops
async def test_after_trailers_that_cannot_be_sent_a_handler_may_end_its_call_otherwise(then: str) -> None:
    async def end(stream: BytesStream) -> None:
        await stream.send_message(b"reply")
        with pytest.raises(ValueError, match="Not Allowed"):
            await stream.send_trailing_metadata(metadata={"Not Allowed": "x"})
        match then:
            case "other trailers":
                await stream.send_trailing_metadata(status=Status.NOT_FOUND, metadata={"allowed": "x"})
            case "an error":
                raise GRPCError(Status.ABORTED)
            case "a reset":
                await stream.cancel()

    async with memory_channel([Service(End=(UNARY, end))], codec=CODEC) as channel:
        if then == "return":
            assert await unary(channel, "End", timeout=10) == b"reply"
        else:
            expected = {"other trailers": Status.NOT_FOUND, "an error": Status.ABORTED, "a reset": Status.CANCELLED}
            assert (await failure(channel, "End", timeout=10)).status is expected[then]


@pytest.mark.parametrize(
    ("status", "message", "said"),
    [
        (5, "no", "the status must be a Status, such as Status.NOT_FOUND, not 5"),
        (Status.ABORTED, ValueError("no"), "the status message must be text, not ValueError('no')"),
    ],
)
@on_both_loops
async def test_what_is_wrong_with_a_status_is_logged(
    caplog: pytest.LogCaptureFixture, status: Any, message: Any, said: str
) -> None:
    async def fail(stream: BytesStream) -> None:
        raise GRPCError(status, message)

    async with memory_channel([Service(Fail=(UNARY, fail))], codec=CODEC) as channel:
        assert (await failure(channel, "Fail")).status is Status.INTERNAL
        assert said in caplog.text
        caplog.clear()


@on_both_loops
async def test_unknown_methods_are_unimplemented() -> None:
    async with memory_channel([ECHO], codec=CODEC) as channel:
        error = await failure(channel, "Nothing")
        assert error.status is Status.UNIMPLEMENTED
        assert "/test.Service/Nothing" in (error.message or "")


@on_both_loops
async def test_a_unary_handler_that_answers_nothing_is_a_bug(caplog: pytest.LogCaptureFixture) -> None:
    async def nothing(stream: BytesStream) -> None:
        await stream.recv_message()

    async with memory_channel([Service(Nothing=(UNARY, nothing))], codec=CODEC) as channel:
        assert (await failure(channel, "Nothing")).status is Status.INTERNAL
        assert "answers with one message" in caplog.text


@on_both_loops
async def test_a_message_that_does_not_decode_is_internal() -> None:
    async with memory_channel([ECHO], codec=CODEC) as channel:
        assert (await failure(channel, "One", b"undecodable")).status is Status.INTERNAL


@on_both_loops
async def test_two_messages_where_one_belongs_are_unimplemented() -> None:
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


@on_both_loops
async def test_two_replies_where_one_belongs_are_refused_by_the_client() -> None:
    async with memory_channel([ECHO], codec=CODEC) as channel:
        for wanted in (b"0", b"2"):
            with pytest.raises(GRPCError) as raised:
                async with call(channel, "Repeat", UNARY) as stream:
                    await stream.send_message(wanted)
                    await stream.recv_message()
            assert raised.value.status is Status.UNIMPLEMENTED
