"""Status details, which grpcio's programs and the package grpcio-status have among the trailing metadata, as bytes."""

from typing import Any

import grpc
import pytest

from echo.pb.google.rpc import ErrorInfo
from echo.rpc import GRPCError, Server, Status
from echo.rpc.error_details import ErrorDetails
from echo.rpc.testing import memory_channel_to
from tests.rpc.grpcio_style.conftest import Library, in_its_loop
from tests.rpc.grpcio_style.servicers import Summary, Todo, Todos
from tests.support.generated import protobuf
from tests.support.services import UNARY, on_both_loops

KEY = "grpc-status-details-bin"
DETAILS = ErrorDetails()
RICH = DETAILS.encode(Status.NOT_FOUND, "no such todo", [ErrorInfo(reason="GONE")])


class RichStatus(grpc.Status):  # type: ignore[misc]
    """What ``grpc_status.rpc_status.to_status`` makes."""

    code, details, trailing_metadata = grpc.StatusCode.NOT_FOUND, "no such todo", ((KEY, RICH), ("x-tail", "t"))


class Aborting(Todos):
    async def Add(self, request: Any, context: Any) -> Any:  # noqa: ARG002, N802
        await context.abort_with_status(RichStatus())


class Setting(Todos):
    async def Add(self, request: Any, context: Any) -> Any:  # noqa: ARG002, N802
        context.set_code(RichStatus.code)
        context.set_details(RichStatus.details)
        context.set_trailing_metadata(RichStatus.trailing_metadata)
        assert dict(context.trailing_metadata()) == dict(RichStatus.trailing_metadata)
        return Summary()


@pytest.mark.parametrize("servicer", [Aborting, Setting])
@in_its_loop
async def test_details_arrive_among_the_trailing_metadata(library: Library, servicer: type[Todos]) -> None:
    async with library.open_stub(servicer()) as stub:
        call = stub.Add(Todo())
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await call
        error = raised.value
        assert (error.code(), error.details()) == (RichStatus.code, RichStatus.details)
        assert dict(error.trailing_metadata()) == dict(RichStatus.trailing_metadata)
        assert dict(await call.trailing_metadata()) == dict(RichStatus.trailing_metadata)


class Blocking(Todos):
    def Add(self, request: Any, context: Any) -> Any:  # noqa: ARG002, N802
        context.abort_with_status(RichStatus())


@pytest.mark.parametrize("servicer", [Aborting, Blocking])
@on_both_loops
async def test_where_there_is_a_codec_for_details_they_are_objects_for_other_callers(servicer: type[Todos]) -> None:
    server: Any = Server([], status_details_codec=DETAILS)
    protobuf("todo_pb2_grpc").add_TodosServicer_to_server(servicer(), server)
    async with memory_channel_to(server, status_details_codec=DETAILS) as channel:
        stub = protobuf("todo_pb2_grpc").TodosStub(channel)
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await stub.Add(Todo())
        assert dict(raised.value.trailing_metadata()) == dict(RichStatus.trailing_metadata)
        with pytest.raises(GRPCError) as same:
            async with channel.request("/tests.todo.v1.Todos/Add", UNARY, Todo, Summary) as stream:
                await stream.send_message(Todo())
                await stream.recv_message()
        assert same.value.details == [ErrorInfo(reason="GONE")]
