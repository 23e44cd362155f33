"""grpclib's events: the order of listeners, and what a listener may change."""

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

from echo.rpc import Channel, GRPCError, Server, Status
from echo.rpc.testing import memory_channel, memory_channel_to
from tests.support.services import (
    BIDI,
    CODEC,
    ECHO,
    SERVER_STREAM,
    UNARY,
    BytesStream,
    Service,
    call,
    on_both_loops,
    unary,
)


async def test_listeners_are_called_in_order_until_one_interrupts() -> None:
    async def first(event: SendMessage) -> None:
        event.message += b" first"

    async def second(event: SendMessage) -> None:
        event.message += b" second"
        event.interrupt()

    async def third(event: SendMessage) -> None:
        event.message += b" third"

    async with memory_channel([ECHO], codec=CODEC) as channel:
        for listener in (first, second, third):
            listen(channel, SendMessage, listener)
        assert await unary(channel, "One", b"none") == b"none first second"


async def test_metadata_and_messages_can_be_changed_on_either_side() -> None:
    async def note(stream: BytesStream) -> None:
        assert stream.metadata is not None
        await stream.send_message(str(sorted(stream.metadata.items())).encode())

    server = Server([Service(Note=(SERVER_STREAM, note))], codec=CODEC)

    async def ask(event: SendRequest) -> None:
        assert event.method_name == "/test.Service/Note"
        assert event.deadline is not None
        assert 0 < event.deadline.time_remaining() <= 5
        event.metadata["client"] = "yes"

    async def take(event: RecvRequest) -> None:
        event.metadata = event.metadata.copy()
        event.metadata["server"] = "yes"

    async def head(event: SendInitialMetadata) -> None:
        event.metadata["head"] = "sent"

    async def trailers(event: SendTrailingMetadata) -> None:
        assert event.status is Status.OK
        event.metadata["trailers"] = "sent"

    async def head_came(event: RecvInitialMetadata) -> None:
        event.metadata["head"] = str(event.metadata["head"]) + " and received"

    async def trailers_came(event: RecvTrailingMetadata) -> None:
        event.metadata["trailers"] = str(event.metadata["trailers"]) + " and received"

    listen(server, RecvRequest, take)
    listen(server, SendInitialMetadata, head)
    listen(server, SendTrailingMetadata, trailers)
    async with memory_channel_to(server, codec=CODEC) as channel:
        listen(channel, SendRequest, ask)
        listen(channel, RecvInitialMetadata, head_came)
        listen(channel, RecvTrailingMetadata, trailers_came)
        async with call(channel, "Note", SERVER_STREAM, timeout=5) as stream:
            await stream.send_message(b"")
            assert [message async for message in stream] == [b"[('client', 'yes'), ('server', 'yes')]"]
        assert dict(stream.initial_metadata or {}) == {"head": "sent and received"}
        assert dict(stream.trailing_metadata or {}) == {"trailers": "sent and received"}


async def test_a_listener_can_replace_a_call_s_handler() -> None:
    async def other(stream: BytesStream) -> None:
        await stream.send_message(b"other")

    async def replace(event: RecvRequest) -> None:
        event.method_func = other  # type: ignore[assignment]  # The stream is ours, not grpclib's.

    server = Server([ECHO], codec=CODEC)
    listen(server, RecvRequest, replace)
    async with memory_channel_to(server, codec=CODEC) as channel:
        assert await unary(channel, "One") == b"other"


async def test_read_only_attributes_stay_so_and_a_listener_s_error_fails_the_call() -> None:
    async def rename(event: RecvRequest) -> None:
        event.method_name = "/other"

    server = Server([Service(One=(UNARY, lambda stream: stream.send_message(b"")))], codec=CODEC)
    listen(server, RecvRequest, rename)
    async with memory_channel_to(server, codec=CODEC) as channel:
        with pytest.raises(GRPCError) as raised:
            await unary(channel, "One")
        assert raised.value.status is Status.INTERNAL


async def test_events_of_the_other_side_cannot_be_listened_to() -> None:
    async def never(event: object) -> None:
        raise AssertionError

    server = Server([ECHO], codec=CODEC)
    async with memory_channel_to(server, codec=CODEC) as channel:
        target: Channel | Server
        for target, kind in ((server, SendRequest), (channel, RecvRequest)):
            with pytest.raises(KeyError):
                listen(target, kind, never)


async def test_events_without_listeners_are_not_created(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[type] = []

    def note(self: RecvMessage, **attributes: object) -> None:
        made.append(type(self))

    monkeypatch.setattr(RecvMessage, "__init__", note)
    async with memory_channel([ECHO], codec=CODEC) as channel:
        await unary(channel, "One")
    assert made == []


@on_both_loops
async def test_a_response_s_metadata_are_announced_once_though_several_tasks_wait_for_them() -> None:
    seen: list[str] = []

    async def note(event: RecvInitialMetadata | RecvTrailingMetadata) -> None:
        seen.append(type(event).__name__)
        event.metadata["noted"] = type(event).__name__

    seen.clear()
    async with memory_channel([ECHO], codec=CODEC) as channel, call(channel, "All", BIDI) as stream:
        listen(channel, RecvInitialMetadata, note)
        listen(channel, RecvTrailingMetadata, note)
        await stream.send_request()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(stream.recv_initial_metadata)
            tasks.start_soon(stream.recv_message)
            tasks.start_soon(stream.recv_trailing_metadata)
            await anyio.wait_all_tasks_blocked()
            await stream.end()
        assert sorted(seen) == ["RecvInitialMetadata", "RecvTrailingMetadata"]
        assert stream.initial_metadata == {"noted": "RecvInitialMetadata"}
        assert stream.trailing_metadata == {"noted": "RecvTrailingMetadata"}
