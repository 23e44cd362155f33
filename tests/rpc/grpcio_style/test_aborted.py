"""A method that carries on after it has aborted its call, having caught the exception, changes nothing any more."""

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import grpc
import pytest

from tests.rpc.grpcio_style.conftest import Library, in_its_loop
from tests.rpc.grpcio_style.servicers import Summary, Todo, Todos


async def replies(call: Any) -> list[str]:
    """The titles of the replies, and the status that the call ended with."""
    received: list[str] = []
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        async for reply in call:
            received.append(reply.title)  # noqa: PERF401 - those before the failure count as well
    error = raised.value
    return [*received, error.code().name, error.details(), *(value for _, value in error.trailing_metadata())]


async def abort(context: Any) -> None:
    with pytest.raises(grpc.aio.AbortError):
        await context.abort(grpc.StatusCode.NOT_FOUND, "nothing here", (("x-why", "aborted"),))


@in_its_loop
async def test_a_reply_that_is_yielded_is_not_sent(library: Library) -> None:
    class Catching(Todos):
        async def Count(self, request: Any, context: Any) -> AsyncIterator[Any]:  # noqa: ARG002, N802
            yield Todo(title="before")
            await abort(context)
            yield Todo(title="after")

    async with library.open_stub(Catching()) as stub:
        assert await replies(stub.Count(Todo())) == ["before", "NOT_FOUND", "nothing here", "aborted"]


@in_its_loop
async def test_what_is_set_does_not_count(library: Library) -> None:
    class Catching(Todos):
        async def Chat(self, requests: Any, context: Any) -> None:  # noqa: ARG002, N802
            await abort(context)
            context.set_code(grpc.StatusCode.OK)
            context.set_details("all is well")
            context.set_trailing_metadata((("x-why", "set"),))

    async with library.open_stub(Catching()) as stub:
        assert await replies(stub.Chat([])) == ["NOT_FOUND", "nothing here", "aborted"]


@in_its_loop
async def test_aborting_again_is_a_mistake(library: Library) -> None:
    class Catching(Todos):
        async def Chat(self, requests: Any, context: Any) -> None:  # noqa: ARG002, N802
            await abort(context)
            with pytest.raises(grpc.aio.UsageError):
                await context.abort(grpc.StatusCode.INTERNAL, "something else")

    async with library.open_stub(Catching()) as stub:
        assert await replies(stub.Chat([])) == ["NOT_FOUND", "nothing here", "aborted"]


@pytest.mark.parametrize(
    "use",
    [
        lambda context: context.read(),
        lambda context: context.write(Summary()),
        lambda context: context.send_initial_metadata(()),
    ],
    ids=["read", "write", "send_initial_metadata"],
)
@in_its_loop
async def test_using_the_call_raises_the_same_again(library: Library, use: Callable[[Any], Awaitable[object]]) -> None:
    raised: list[type[BaseException]] = []

    class Catching(Todos):
        async def AddAll(self, requests: Any, context: Any) -> None:  # noqa: ARG002, N802
            await abort(context)
            with pytest.raises(grpc.aio.AbortError) as again:
                await use(context)
            raised.append(again.type)

    raised.clear()
    async with library.open_stub(Catching()) as stub:
        with pytest.raises(grpc.aio.AioRpcError) as failed:
            await stub.AddAll([])
        assert failed.value.code() is grpc.StatusCode.NOT_FOUND
    assert raised == [grpc.aio.AbortError]
