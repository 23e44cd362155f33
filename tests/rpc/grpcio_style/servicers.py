"""A servicer in grpc.aio's style, whose methods a test supplies."""

from collections.abc import AsyncIterator
from typing import Any

import anyio
import grpc
import pytest

from tests.support.generated import protobuf

messages = protobuf("todo_pb2")
Todo, Summary = messages.Todo, messages.Summary


class Todos(protobuf("todo_pb2_grpc").TodosServicer):  # type: ignore[misc]
    """Answers; a title that begins with a status code's name ends the call with that status."""

    def __init__(self) -> None:
        self.seen: list[Any] = []
        self.ended: list[str] = []

    async def Add(self, request: Any, context: Any) -> Any:  # noqa: N802
        self.seen.append(context)
        if request.title in grpc.StatusCode.__members__:
            await context.abort(grpc.StatusCode[request.title], "as you said", (("x-why", "asked"),))
        await context.send_initial_metadata((("x-head", "h"), ("x-head-bin", b"\x00\xff")))
        context.set_trailing_metadata((("x-tail", "t"),))
        return Summary(titles=[request.title])

    async def Count(self, request: Any, context: Any) -> AsyncIterator[Any]:  # noqa: N802
        self.seen.append(context)
        try:
            for number in range(request.number):
                yield Todo(title=request.title, number=number)
            if request.title in grpc.StatusCode.__members__:
                context.set_code(grpc.StatusCode[request.title])
                context.set_details("as you said")
        finally:
            self.ended.append("Count")

    async def AddAll(self, requests: Any, context: Any) -> Any:  # noqa: ARG002, N802
        self.seen.append(context)
        titles = []
        while (request := await context.read()) is not grpc.aio.EOF:
            titles.append(request.title)
        return Summary(titles=titles)

    async def Chat(self, requests: Any, context: Any) -> None:  # noqa: N802
        self.seen.append(context)
        async for request in requests:
            await context.write(request)


async def failure(call: Any) -> tuple[grpc.StatusCode, str]:
    """The status and the message that a call ends with."""
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await call
    return raised.value.code(), raised.value.details()


class Deaf(Todos):
    """Answers nothing."""

    async def Add(self, request: Any, context: Any) -> Any:  # noqa: ARG002, N802
        await anyio.sleep_forever()

    async def Chat(self, requests: Any, context: Any) -> None:  # noqa: ARG002, N802
        await anyio.sleep_forever()
