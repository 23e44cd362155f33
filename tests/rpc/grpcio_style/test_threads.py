"""Stubs in threads block there, as grpcio's blocking stubs do: stock ones and betterproto2's."""

import queue
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import anyio
import grpc
import pytest
from anyio import from_thread, to_thread
from anyio.from_thread import start_blocking_portal

from echo.rpc.testing import memory_channel
from tests.rpc.grpcio_style.conftest import Library, open_ours, ours_on
from tests.rpc.grpcio_style.servicers import Todo, Todos
from tests.support.generated import betterproto2, protobuf

Program = Callable[[Any], None]

pytestmark = pytest.mark.parametrize("backend", ["trio", "asyncio"])


def in_thread(backend: str, program: Program, servicer: Todos | None = None) -> None:
    """Run a program, which is given a stub, in a thread beside the event loop."""

    async def main(_: Library) -> None:
        async with open_ours(servicer or Todos()) as channel:
            await to_thread.run_sync(program, protobuf("todo_pb2_grpc").TodosStub(channel))

    ours_on(backend).run(main)


def test_all_four_kinds_of_calls(backend: str) -> None:
    def program(stub: Any) -> None:
        todo = Todo(title="a", number=2)
        assert list(stub.Add(todo).titles) == ["a"]
        assert [reply.number for reply in stub.Count(todo)] == [0, 1]
        assert list(stub.AddAll(iter([todo, todo])).titles) == ["a", "a"]
        assert [reply.title for reply in stub.Chat(iter([todo, todo]))] == ["a", "a"]

    in_thread(backend, program)


def test_a_status_is_raised(backend: str) -> None:
    def program(stub: Any) -> None:
        with pytest.raises(grpc.RpcError) as raised:
            stub.Add(Todo(title="NOT_FOUND"))
        assert raised.value.code() is grpc.StatusCode.NOT_FOUND
        replies = stub.Count(Todo(title="DATA_LOSS", number=1))
        assert next(replies).number == 0
        with pytest.raises(grpc.RpcError):
            next(replies)
        assert replies.code() is grpc.StatusCode.DATA_LOSS
        assert replies.details() == "as you said"

    in_thread(backend, program)


def test_requests_may_depend_on_replies(backend: str) -> None:
    def program(stub: Any) -> None:
        requests: queue.Queue[Any] = queue.Queue()

        def until_none() -> Iterator[Any]:
            while (request := requests.get()) is not None:
                yield request

        replies = stub.Chat(until_none())
        for title in "abc":
            requests.put(Todo(title=title))
            assert next(replies).title == title
        requests.put(None)
        assert list(replies) == []

    in_thread(backend, program)


def test_a_call_is_cancelled(backend: str) -> None:
    def program(stub: Any) -> None:
        replies = stub.Count(Todo(number=1_000_000))
        next(replies)
        assert replies.cancel()
        assert replies.cancelled()
        assert replies.code() is grpc.StatusCode.CANCELLED

    in_thread(backend, program)


def test_a_call_whose_iterator_is_dropped_is_cancelled(backend: str) -> None:
    stopped = threading.Event()

    class Endless(Todos):
        async def Count(self, request: Any, context: Any) -> AsyncIterator[Any]:  # noqa: ARG002, N802
            try:
                while True:
                    yield request
                    await anyio.sleep(0.001)
            finally:
                stopped.set()

    def program(stub: Any) -> None:
        for reply in stub.Count(Todo(title="a")):
            assert reply.title == "a"
            break
        assert stopped.wait(10)

    in_thread(backend, program, Endless())


def test_a_call_that_could_not_begin_is_dropped_in_silence(backend: str) -> None:
    def program(stub: Any) -> None:
        with pytest.raises(TypeError):
            stub.Count(Todo(), no_such_option=1)

    in_thread(backend, program)


def test_any_thread_will_do(backend: str) -> None:
    async def main(_: Library) -> None:
        async with open_ours(Todos()) as channel:
            stub, answered, titles = protobuf("todo_pb2_grpc").TodosStub(channel), anyio.Event(), []

            def program() -> None:
                titles.extend(stub.Add(Todo(title="a")).titles)
                from_thread.run_sync(answered.set, token=channel.loop.token)

            threading.Thread(target=program).start()
            await answered.wait()
            assert titles == ["a"]

    ours_on(backend).run(main)


@pytest.mark.parametrize("method", ["Add", "Count"])
def test_calls_after_the_channel_was_closed_are_refused(backend: str, method: str) -> None:
    with start_blocking_portal(backend) as portal:
        with portal.wrap_async_context_manager(open_ours(Todos())) as channel:
            stub = protobuf("todo_pb2_grpc").TodosStub(channel)
            assert list(stub.Add(Todo(title="a")).titles) == ["a"]
        with pytest.raises(grpc.aio.UsageError, match="Channel is closed"):
            getattr(stub, method)(Todo())
    with pytest.raises(grpc.aio.UsageError, match="Channel is closed"):  # The event loop has ended, too.
        getattr(stub, method)(Todo())


def test_a_stream_of_a_closed_channel_fails_in_its_thread_even_after_the_event_loop_has_ended(backend: str) -> None:
    with start_blocking_portal(backend) as portal:
        with portal.wrap_async_context_manager(open_ours(Todos())) as channel:
            replies = protobuf("todo_pb2_grpc").TodosStub(channel).Count(Todo(number=1_000_000))
            next(replies)
        with pytest.raises(grpc.RpcError, match="the channel was closed"):
            list(replies)
    with pytest.raises(grpc.RpcError, match="the channel was closed"):
        next(replies)
    with pytest.raises(grpc.aio.UsageError, match="Channel is closed"):
        replies.code()


@pytest.mark.parametrize("method", ["Add", "Count"])
def test_a_thread_is_let_go_though_the_event_loop_never_begins_its_call(
    backend: str, method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, failures = threading.Event(), []

    def ignore(*_: object) -> bool:
        asked.set()
        return True

    def program(stub: Any) -> None:
        try:
            getattr(stub, method)(Todo())
        except grpc.aio.UsageError as error:
            failures.append(str(error))

    async def main(_: Library) -> None:
        async with open_ours(Todos()) as channel:
            monkeypatch.setattr(channel.loop, "call_soon", ignore)
            thread = threading.Thread(target=program, args=[protobuf("todo_pb2_grpc").TodosStub(channel)], daemon=True)
            thread.start()
            assert await to_thread.run_sync(asked.wait, 10)
        thread.join(10)

    ours_on(backend).run(main)
    assert failures == ["Channel is closed."]


def test_the_event_loop_s_own_thread_does_not_wait_for_itself(backend: str) -> None:
    async def main(_: Library) -> None:
        async with open_ours(Todos()) as channel:
            stub = protobuf("todo_pb2_grpc").TodosStub(channel)
            replies = await to_thread.run_sync(stub.Count, Todo(number=1))
            with pytest.raises(RuntimeError, match="another thread"):
                next(replies)

    ours_on(backend).run(main)


def test_betterproto2_s_blocking_stubs(backend: str) -> None:
    async def main(_: Library) -> None:
        made = betterproto2()

        class Service(made.TodosBase):  # type: ignore[misc, name-defined]
            async def add(self, message: Any) -> Any:
                return made.Summary(titles=[message.title])

            async def chat(self, messages: Any) -> Any:
                async for message in messages:
                    yield message

        def program(channel: Any) -> None:
            stub, todo = made.TodosSyncStub(channel), made.Todo(title="a")
            assert stub.add(todo).titles == ["a"]
            assert list(stub.chat([todo, todo])) == [todo, todo]

        async with memory_channel([Service()]) as channel:
            await to_thread.run_sync(program, channel)

    ours_on(backend).run(main)


def test_iterating_in_the_event_loop_says_what_to_do(backend: str) -> None:
    async def main(_: Library) -> None:
        made = betterproto2()
        async with memory_channel([]) as channel:
            with pytest.raises(TypeError, match=r"use 'async for', or run the code in a thread"):
                list(made.TodosSyncStub(channel).count(made.Todo()))

    ours_on(backend).run(main)
