"""Servicers written for grpcio's blocking server, whose methods run in threads, see `conftest`."""

import queue
import threading
from collections.abc import Iterator
from typing import Any

import anyio
import grpc
import pytest

from tests.rpc.grpcio_style.conftest import Library, in_its_loop, ours_on
from tests.rpc.grpcio_style.servicers import Summary, Todo, failure
from tests.support.generated import protobuf


class Blocking(protobuf("todo_pb2_grpc").TodosServicer):  # type: ignore[misc]
    """Written for grpcio's other server, which has threads."""

    def Add(self, request: Any, context: Any) -> Any:  # noqa: N802
        if not request.title:
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, "a title is required")
        context.send_initial_metadata((("x-head", "h"),))
        context.set_trailing_metadata((("x-tail", "t"),))
        return Summary(titles=[request.title])

    def Count(self, request: Any, context: Any) -> Iterator[Any]:  # noqa: ARG002, N802
        for number in range(request.number):
            yield Todo(number=number)

    def AddAll(self, requests: Any, context: Any) -> Any:  # noqa: ARG002, N802
        return Summary(titles=[request.title for request in requests])

    def Chat(self, requests: Any, context: Any) -> Iterator[Any]:  # noqa: ARG002, N802
        yield from requests


@in_its_loop
async def test_blocking_methods_run_in_threads(library: Library) -> None:
    async with library.open_stub(Blocking()) as stub:
        todo = Todo(title="a", number=2)
        call = stub.Add(todo)
        assert list((await call).titles) == ["a"]
        assert (await call.initial_metadata())["x-head"] == "h"
        assert (await call.trailing_metadata())["x-tail"] == "t"
        assert [reply.number async for reply in stub.Count(todo)] == [0, 1]
        assert list((await stub.AddAll(iter([todo, todo]))).titles) == ["a", "a"]
        assert [reply.title async for reply in stub.Chat(iter([todo, todo]))] == ["a", "a"]
        assert await failure(stub.Add(Todo())) == (grpc.StatusCode.INVALID_ARGUMENT, "a title is required")


@pytest.mark.parametrize("backend", ["trio", "asyncio"])
def test_a_blocking_method_may_cancel_its_call(backend: str, caplog: pytest.LogCaptureFixture) -> None:
    unary: list[bool] = []
    streaming: list[bool] = []

    class Cancelling(Blocking):
        def Add(self, request: Any, context: Any) -> Any:  # noqa: ARG002, N802
            unary.extend([context.cancel(), context.cancel()])
            return Summary()

        def Count(self, request: Any, context: Any) -> Iterator[Any]:  # noqa: ARG002, N802
            yield Todo(number=1)
            streaming.append(context.cancel())
            yield Todo(number=2)

    async def main(library: Library) -> None:
        async with library.open_stub(Cancelling()) as stub:
            assert (await failure(stub.Add(Todo())))[0] is grpc.StatusCode.CANCELLED
            call = stub.Count(Todo())
            with pytest.raises(grpc.aio.AioRpcError) as raised:
                assert [reply.number async for reply in call] == [1]
            assert raised.value.code() is grpc.StatusCode.CANCELLED
            with anyio.fail_after(20):  # The methods' threads may go on for a moment after their calls are over.
                while len(unary + streaming) < 3:  # noqa: ASYNC110 - It is threads that append.
                    await anyio.sleep(0.01)

    ours_on(backend).run(main)
    assert unary == [True, False]
    assert streaming == [True]
    assert caplog.text == ""


class Threaded(Blocking):
    """Reads its requests in a thread of its own, and waits for that."""

    def __init__(self) -> None:
        super().__init__()
        self.read: list[str] = []

    def Chat(self, requests: Any, context: Any) -> Iterator[Any]:  # noqa: N802
        def consume() -> None:
            context.send_initial_metadata([("x-thread", "its own")])
            try:
                for request in requests:
                    taken.put(request)
            except grpc.RpcError:
                self.read.append("cancelled")
            finally:
                taken.put(None)
                self.read.append("end")

        taken: queue.Queue[Any] = queue.Queue()
        reader = threading.Thread(target=consume)
        reader.start()
        while (request := taken.get(timeout=30)) is not None:
            yield request
        reader.join(30)


@in_its_loop
async def test_a_blocking_method_may_use_its_call_in_threads_of_its_own(library: Library) -> None:
    async with library.open_stub(Threaded()) as stub:
        call = stub.Chat(iter([Todo(title="a"), Todo(title="b")]))
        assert [reply.title async for reply in call] == ["a", "b"]
        assert ("x-thread", "its own") in list(await call.initial_metadata())


@pytest.mark.parametrize("backend", ["trio", "asyncio"])
def test_cancelling_reaches_the_threads_of_a_blocking_method(backend: str, caplog: pytest.LogCaptureFixture) -> None:
    servicer = Threaded()

    async def main(library: Library) -> None:
        async with library.open_stub(servicer) as stub:
            call = stub.Chat()
            await call.write(Todo(title="a"))
            assert (await call.read()).title == "a"
            call.cancel()

    ours_on(backend).run(main)
    assert servicer.read == ["cancelled", "end"]
    assert caplog.text == ""


@pytest.mark.parametrize("backend", ["trio", "asyncio"])
def test_a_thread_that_outlives_its_call_is_let_go(backend: str, caplog: pytest.LogCaptureFixture) -> None:
    released, threads, over = threading.Event(), list[threading.Thread](), list[object]()

    class Leaving(Blocking):
        def Chat(self, requests: Any, context: Any) -> Iterator[Any]:  # noqa: N802
            def linger() -> None:
                over.append(list(requests))  # Ends with the call, though the client does not half-close.
                released.wait(20)
                over.extend([context.cancel(), next(requests, "no more")])

            threads.append(threading.Thread(target=linger))
            threads[0].start()
            yield Todo(title="a")

    async def main(library: Library) -> None:
        async with library.open_stub(Leaving()) as stub:
            call = stub.Chat()
            assert [reply.title async for reply in call] == ["a"]

    ours_on(backend).run(main)
    released.set()  # The event loop has ended, too.
    threads[0].join(20)
    assert over == [[], False, "no more"]
    assert caplog.text == ""
