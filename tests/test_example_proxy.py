"""The proxy among the examples passes on everything about a call, and whichever side ends it."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

import anyio
import pytest
from grpclib.const import Handler

from echo.rpc import Cardinality, Channel, GRPCError, Servable, Server, ServerStream, Status
from echo.rpc.testing import memory_channel, memory_channel_to
from examples import chat, proxy
from examples.pb.chat.v1 import Line
from tests.support.services import Run

JOIN = "/chat.v1.Chat/Join"


class Backend:
    """Does with a call what the first line says."""

    def __init__(self) -> None:
        self.seen: list[str] = []
        self.cancelled = anyio.Event()
        self.sent = 0

    def __mapping__(self) -> Mapping[str, Handler]:
        return {JOIN: Handler(self.join, Cardinality.STREAM_STREAM, Line, Line)}

    async def join(self, stream: ServerStream[Line, Line]) -> None:
        self.seen.append(str(stream.metadata.get("who")))
        stream.trailing_metadata["goodbye"] = "soon"
        await stream.send_initial_metadata(metadata={"hello": "you"})
        line = await stream.recv_message()
        assert line is not None
        if line.text == "fail":
            raise GRPCError(Status.FAILED_PRECONDITION, "not now")
        if line.text == "flood":
            while True:
                await stream.send_message(Line(text="x" * 10_000))
                self.sent += 1
        if line.text == "wait":
            try:
                await anyio.sleep_forever()
            finally:
                self.cancelled.set()
        await stream.send_message(line)


@asynccontextmanager
async def through_the_proxy(service: Servable) -> AsyncIterator[Channel]:
    async with memory_channel_to(Server([service]), codec=proxy.Unchanged()) as backend:
        front = Server([proxy.Proxy(backend, [JOIN])], codec=proxy.Unchanged())
        async with memory_channel_to(front) as channel:
            yield channel


def test_messages_half_close_and_metadata_pass(run: Run) -> None:
    async def main() -> None:
        backend = Backend()
        async with through_the_proxy(backend) as channel:
            call = channel.request(JOIN, Cardinality.STREAM_STREAM, Line, Line, metadata={"who": "ada"})
            async with call as stream:
                await stream.send_message(Line(text="hi"))
                assert await stream.recv_message() == Line(text="hi")
                assert await stream.recv_message() is None
            assert backend.seen == ["ada"]
            assert stream.initial_metadata is not None
            assert stream.initial_metadata["hello"] == "you"
            assert stream.trailing_metadata is not None
            assert stream.trailing_metadata["goodbye"] == "soon"
        async with (
            through_the_proxy(chat.Chat()) as channel,
            channel.request(JOIN, Cardinality.STREAM_STREAM, Line, Line) as stream,
        ):
            await stream.send_message(Line("tea", "ada", "hi"))
            assert await stream.recv_message() == Line("tea", "ada", "hi")
            await stream.end()
            assert await stream.recv_message() is None

    run(main)


def test_a_status_passes_with_its_metadata(run: Run) -> None:
    async def main() -> None:
        async with through_the_proxy(Backend()) as channel:
            call = channel.request(JOIN, Cardinality.STREAM_STREAM, Line, Line)
            with pytest.raises(GRPCError) as failed:
                async with call as stream:
                    await stream.send_message(Line(text="fail"))
                    await stream.recv_message()
            assert (failed.value.status, failed.value.message) == (Status.FAILED_PRECONDITION, "not now")
            assert call.trailing_metadata is not None
            assert call.trailing_metadata["goodbye"] == "soon"

    run(main)


def test_a_client_that_leaves_and_a_deadline_cancel_the_call_behind_the_proxy(run: Run) -> None:
    async def main() -> None:
        for timeout in (None, 0.2):
            backend = Backend()
            async with through_the_proxy(backend) as channel:
                call = channel.request(JOIN, Cardinality.STREAM_STREAM, Line, Line, timeout=timeout)
                async with call as stream:
                    await stream.send_message(Line(text="wait"))
                    await stream.recv_initial_metadata()
                    if timeout is not None:
                        with pytest.raises(GRPCError, match="DEADLINE_EXCEEDED"):
                            await stream.recv_message()
                await backend.cancelled.wait()

    run(main)


def test_a_client_that_reads_slowly_slows_the_backend_down(run: Run) -> None:
    async def main() -> None:
        backend = Backend()
        async with (
            through_the_proxy(backend) as channel,
            channel.request(JOIN, Cardinality.STREAM_STREAM, Line, Line) as stream,
        ):
            await stream.send_message(Line(text="flood"))
            await stream.recv_message()
            sent = -1
            while sent != backend.sent:
                sent = backend.sent
                await anyio.wait_all_tasks_blocked()
            assert backend.sent < 100
            assert await stream.recv_message() is not None

    run(main)


def test_a_plain_memory_channel_has_the_codec_of_both_sides(run: Run) -> None:
    async def main() -> None:
        class Same:
            def __mapping__(self) -> Mapping[str, Handler]:
                return {"/a.B/C": Handler(self.same, Cardinality.UNARY_UNARY, bytes, bytes)}

            async def same(self, stream: ServerStream[bytes, bytes]) -> None:
                message = await stream.recv_message()
                assert message is not None
                await stream.send_message(message)

        async with (
            memory_channel([Same()], codec=proxy.Unchanged()) as channel,
            channel.request("/a.B/C", Cardinality.UNARY_UNARY, bytes, bytes) as stream,
        ):
            await stream.send_message(b"anything")
            assert await stream.recv_message() == b"anything"

    run(main)
