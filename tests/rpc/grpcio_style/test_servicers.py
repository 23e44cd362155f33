"""Servicers written for grpc.aio and their contexts, see `conftest`."""

from collections.abc import AsyncIterator
from typing import Any

import anyio
import grpc
import pytest

from echo.rpc import Server
from tests.rpc.grpcio_style.conftest import Library, in_its_loop, open_ours
from tests.rpc.grpcio_style.servicers import Summary, Todo, Todos, failure
from tests.support.generated import protobuf
from tests.support.services import Run


@in_its_loop
async def test_a_status_that_was_set_ends_the_call(library: Library) -> None:
    class Failing(Todos):
        async def Add(self, request: Any, context: Any) -> Any:  # noqa: ARG002, N802
            context.set_code(grpc.StatusCode.FAILED_PRECONDITION)
            context.set_details("not yet")
            assert (context.code(), context.details()) == (grpc.StatusCode.FAILED_PRECONDITION, "not yet")
            return Summary()

    async with library.open_stub(Failing()) as stub:
        assert await failure(stub.Add(Todo())) == (grpc.StatusCode.FAILED_PRECONDITION, "not yet")


@in_its_loop
async def test_abort_overrules_what_was_set(library: Library) -> None:
    class Failing(Todos):
        async def Add(self, request: Any, context: Any) -> Any:  # noqa: ARG002, N802
            context.set_code(grpc.StatusCode.FAILED_PRECONDITION)
            await context.abort(grpc.StatusCode.NOT_FOUND, "nothing here")

    async with library.open_stub(Failing()) as stub:
        assert await failure(stub.Add(Todo())) == (grpc.StatusCode.NOT_FOUND, "nothing here")


@in_its_loop
async def test_nothing_done_after_a_caught_abort_has_an_effect(library: Library) -> None:
    class Catching(Todos):
        async def Add(self, request: Any, context: Any) -> Any:  # noqa: ARG002, N802
            try:
                await context.abort(grpc.StatusCode.NOT_FOUND, "nothing here")
            except BaseException:  # noqa: BLE001
                return Summary(titles=["caught"])

    async with library.open_stub(Catching()) as stub:
        assert await failure(stub.Add(Todo())) == (grpc.StatusCode.NOT_FOUND, "nothing here")


def test_a_method_may_abort_from_within_a_nursery(run: Run, caplog: pytest.LogCaptureFixture) -> None:
    class Aborting(Todos):
        async def Add(self, request: Any, context: Any) -> Any:  # noqa: ARG002, N802
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(anyio.sleep_forever)
                await context.abort(grpc.StatusCode.NOT_FOUND, "nothing here")

    async def main() -> None:
        async with open_ours(Aborting()) as channel:
            found = await failure(protobuf("todo_pb2_grpc").TodosStub(channel).Add(Todo()))
            assert found == (grpc.StatusCode.NOT_FOUND, "nothing here")

    run(main)
    assert [record for record in caplog.records if record.levelname == "ERROR"] == []


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


@in_its_loop
async def test_trailing_metadata_that_was_set_can_be_looked_at(library: Library) -> None:
    class Telling(Todos):
        async def Add(self, request: Any, context: Any) -> Any:  # noqa: ARG002, N802
            context.set_trailing_metadata((("x-a", "1"),))
            return Summary(titles=[dict(context.trailing_metadata())["x-a"]])

    async with library.open_stub(Telling()) as stub:
        call = stub.Add(Todo())
        assert list((await call).titles) == ["1"]
        assert (await call.trailing_metadata())["x-a"] == "1"


@in_its_loop
async def test_an_unknown_method_is_unimplemented(library: Library) -> None:
    servicer = protobuf("todo_pb2_grpc").TodosServicer

    class Half(servicer):  # type: ignore[misc, valid-type]
        async def Add(self, request: Any, context: Any) -> Any:  # noqa: ARG002, N802
            return Summary()

    async with library.open_stub(Half()) as stub:
        await stub.Add(Todo())
        code, _ = await failure(stub.AddAll(iter([Todo()])))
        assert code is grpc.StatusCode.UNIMPLEMENTED


@in_its_loop
async def test_a_bug_is_reported_without_its_traceback(library: Library) -> None:
    class Buggy(Todos):
        async def Add(self, request: Any, context: Any) -> Any:  # noqa: ARG002, N802
            raise ZeroDivisionError("secret")

    async with library.open_stub(Buggy()) as stub:
        code, details = await failure(stub.Add(Todo()))
        if library.name == "echo":  # grpc.aio sends UNKNOWN and the exception.
            assert (code, details) == (grpc.StatusCode.INTERNAL, "internal server error")


class Failing(Todos):
    """Its methods set metadata for the trailers, and fail."""

    def __init__(self, value: Any = "t") -> None:
        super().__init__()
        self._value = value

    async def Add(self, request: Any, context: Any) -> Any:  # noqa: ARG002, N802
        context.set_trailing_metadata((("x-tail", self._value),))
        raise ZeroDivisionError

    async def Count(self, request: Any, context: Any) -> AsyncIterator[Any]:  # noqa: ARG002, N802
        yield Todo()
        context.set_trailing_metadata((("x-tail", self._value),))
        raise ZeroDivisionError


class FailingInThreads(Todos):
    def Add(self, request: Any, context: Any) -> Any:  # noqa: ARG002, N802
        context.set_trailing_metadata((("x-tail", "t"),))
        raise ZeroDivisionError

    def Count(self, request: Any, context: Any) -> Any:  # noqa: ARG002, N802
        yield Todo()
        context.set_trailing_metadata((("x-tail", "t"),))
        raise ZeroDivisionError


@pytest.mark.parametrize("servicer", [Failing, FailingInThreads])
@in_its_loop
async def test_trailing_metadata_arrive_though_the_method_fails(library: Library, servicer: type[Todos]) -> None:
    async with library.open_stub(servicer()) as stub:
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await stub.Add(Todo())
        assert dict(raised.value.trailing_metadata()) == {"x-tail": "t"}
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            async for _ in stub.Count(Todo()):
                pass
        assert dict(raised.value.trailing_metadata()) == {"x-tail": "t"}


def test_trailing_metadata_that_cannot_be_sent_do_not_hide_a_bug(run: Run, caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        async with open_ours(Failing(value=5)) as channel:
            code, _ = await failure(protobuf("todo_pb2_grpc").TodosStub(channel).Add(Todo()))
            assert code is grpc.StatusCode.INTERNAL

    run(main)
    assert "ZeroDivisionError" in caplog.text


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


@in_its_loop
async def test_a_status_that_was_set_stands_when_the_method_fails(library: Library) -> None:
    class Failing(Todos):
        async def Add(self, request: Any, context: Any) -> Any:  # noqa: ARG002, N802
            context.set_code(grpc.StatusCode.NOT_FOUND)
            context.set_details("nothing here")
            raise NotImplementedError

    async with library.open_stub(Failing()) as stub:
        code, details = await failure(stub.Add(Todo()))
        assert code is grpc.StatusCode.NOT_FOUND
        if library.name == "echo":  # grpc.aio names the exception.
            assert details == "nothing here"
