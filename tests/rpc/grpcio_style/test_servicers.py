"""Servicers written for grpc.aio and their contexts, see `conftest`."""

import queue
import threading
from collections.abc import Iterator
from typing import Any

import anyio
import grpc
import pytest

from echo.rpc import Server
from tests.rpc.grpcio_style.conftest import Library, ours_on
from tests.rpc.grpcio_style.servicers import Summary, Todo, Todos
from tests.support.generated import protobuf


async def failure(call: Any) -> tuple[grpc.StatusCode, str]:
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await call
    return raised.value.code(), raised.value.details()


def test_a_status_that_was_set_ends_the_call(library: Library) -> None:
    class Failing(Todos):
        async def Add(self, request: Any, context: Any) -> Any:  # noqa: ARG002, N802
            context.set_code(grpc.StatusCode.FAILED_PRECONDITION)
            context.set_details("not yet")
            assert (context.code(), context.details()) == (grpc.StatusCode.FAILED_PRECONDITION, "not yet")
            return Summary()

    async def main(library: Library) -> None:
        async with library.open_stub(Failing()) as stub:
            assert await failure(stub.Add(Todo())) == (grpc.StatusCode.FAILED_PRECONDITION, "not yet")

    library.run(main)


def test_abort_overrules_what_was_set(library: Library) -> None:
    class Failing(Todos):
        async def Add(self, request: Any, context: Any) -> Any:  # noqa: ARG002, N802
            context.set_code(grpc.StatusCode.FAILED_PRECONDITION)
            await context.abort(grpc.StatusCode.NOT_FOUND, "nothing here")

    async def main(library: Library) -> None:
        async with library.open_stub(Failing()) as stub:
            assert await failure(stub.Add(Todo())) == (grpc.StatusCode.NOT_FOUND, "nothing here")

    library.run(main)


def test_nothing_done_after_a_caught_abort_has_an_effect(library: Library) -> None:
    class Catching(Todos):
        async def Add(self, request: Any, context: Any) -> Any:  # noqa: ARG002, N802
            try:
                await context.abort(grpc.StatusCode.NOT_FOUND, "nothing here")
            except BaseException:  # noqa: BLE001
                return Summary(titles=["caught"])

    async def main(library: Library) -> None:
        async with library.open_stub(Catching()) as stub:
            assert await failure(stub.Add(Todo())) == (grpc.StatusCode.NOT_FOUND, "nothing here")

    library.run(main)


def test_the_deadline_is_known_to_the_method(library: Library) -> None:
    left: list[Any] = []

    class Timed(Todos):
        async def Add(self, request: Any, context: Any) -> Any:  # noqa: ARG002, N802
            left.append(context.time_remaining())
            return Summary()

    async def main(library: Library) -> None:
        async with library.open_stub(Timed()) as stub:
            await stub.Add(Todo(), timeout=9)
            await stub.Add(Todo())

    library.run(main)
    assert 0 < left[0] < 10
    assert left[1] is None


def test_done_callbacks_run_when_the_method_ends(library: Library) -> None:
    told: list[Any] = []
    ended: Any = None

    class Told(Todos):
        async def Add(self, request: Any, context: Any) -> Any:  # noqa: ARG002, N802
            def note(over: Any) -> None:
                told.append((over is context, over.done()))
                ended.set()

            context.add_done_callback(note)
            assert not context.done()
            return Summary()

    async def main(library: Library) -> None:
        nonlocal ended
        ended = anyio.Event()
        async with library.open_stub(Told()) as stub:
            await stub.Add(Todo())
            with anyio.fail_after(20):
                await ended.wait()

    library.run(main)
    assert told == [(True, True)]


def test_trailing_metadata_that_was_set_can_be_looked_at(library: Library) -> None:
    class Telling(Todos):
        async def Add(self, request: Any, context: Any) -> Any:  # noqa: ARG002, N802
            context.set_trailing_metadata((("x-a", "1"),))
            return Summary(titles=[dict(context.trailing_metadata())["x-a"]])

    async def main(library: Library) -> None:
        async with library.open_stub(Telling()) as stub:
            call = stub.Add(Todo())
            assert list((await call).titles) == ["1"]
            assert (await call.trailing_metadata())["x-a"] == "1"

    library.run(main)


def test_an_unknown_method_is_unimplemented(library: Library) -> None:
    servicer = protobuf("todo_pb2_grpc").TodosServicer

    class Half(servicer):  # type: ignore[misc, valid-type]
        async def Add(self, request: Any, context: Any) -> Any:  # noqa: ARG002, N802
            return Summary()

    async def main(library: Library) -> None:
        async with library.open_stub(Half()) as stub:
            await stub.Add(Todo())
            code, _ = await failure(stub.AddAll(iter([Todo()])))
            assert code is grpc.StatusCode.UNIMPLEMENTED

    library.run(main)


def test_a_bug_is_reported_without_its_traceback(library: Library) -> None:
    class Buggy(Todos):
        async def Add(self, request: Any, context: Any) -> Any:  # noqa: ARG002, N802
            raise ZeroDivisionError("secret")

    async def main(library: Library) -> None:
        async with library.open_stub(Buggy()) as stub:
            code, details = await failure(stub.Add(Todo()))
            if library.name == "echo":  # grpc.aio sends UNKNOWN and the exception.
                assert (code, details) == (grpc.StatusCode.INTERNAL, "internal server error")

    library.run(main)


def test_the_peer_has_grpcio_s_form() -> None:
    """Connections in memory have no address, so this needs a socket."""

    async def main() -> None:
        from echo.rpc import open_channel, open_tcp_listener

        servicer = Todos()
        server = Server([])
        made = protobuf("todo_pb2_grpc")
        made.add_TodosServicer_to_server(servicer, server)
        listener = await open_tcp_listener("127.0.0.1", 0)
        port = listener.extra(anyio.abc.SocketAttribute.local_port)
        async with anyio.create_task_group() as tasks:
            await tasks.start(server.serve, listener)
            async with open_channel("127.0.0.1", port) as channel:
                await made.TodosStub(channel).Add(Todo(title="a"))
            await server.drain(1)
        assert servicer.seen[0].peer().startswith("ipv4:127.0.0.1:")
        assert servicer.seen[0].auth_context() == {}

    anyio.run(main, backend="trio")


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


def test_blocking_methods_run_in_threads(library: Library) -> None:
    async def main(library: Library) -> None:
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

    library.run(main)


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


def test_a_status_that_was_set_stands_when_the_method_fails(library: Library) -> None:
    class Failing(Todos):
        async def Add(self, request: Any, context: Any) -> Any:  # noqa: ARG002, N802
            context.set_code(grpc.StatusCode.NOT_FOUND)
            context.set_details("nothing here")
            raise NotImplementedError

    async def main(library: Library) -> None:
        async with library.open_stub(Failing()) as stub:
            code, details = await failure(stub.Add(Todo()))
            assert code is grpc.StatusCode.NOT_FOUND
            if library.name == "echo":  # grpc.aio names the exception.
                assert details == "nothing here"

    library.run(main)


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
        while (request := taken.get(timeout=5)) is not None:
            yield request
        reader.join(5)


def test_a_blocking_method_may_use_its_call_in_threads_of_its_own(library: Library) -> None:
    async def main(library: Library) -> None:
        async with library.open_stub(Threaded()) as stub:
            call = stub.Chat(iter([Todo(title="a"), Todo(title="b")]))
            assert [reply.title async for reply in call] == ["a", "b"]
            assert ("x-thread", "its own") in list(await call.initial_metadata())

    library.run(main)


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
