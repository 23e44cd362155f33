"""Every public name of grpc.aio, grpclib and betterproto's stubs works as there, or says what to use instead."""

import inspect
import subprocess
import sys
from itertools import chain
from typing import Any

import anyio
import grpc
import grpclib.reflection.service
import pytest
from betterproto.grpc.util.async_channel import AsyncChannel
from grpclib.reflection.v1 import reflection_pb2 as reflection

from echo.pb.com.gopay.echo.streaming import StreamingServerStub, StreamMessage
from echo.rpc import Cardinality, Server, bind
from echo.rpc.testing import memory_channel, memory_channel_to
from echo.rpc.unsupported import UnsupportedError
from echo.services import StreamingEchoService
from tests.rpc.surfaces import SURFACES, Surface, parameters, public
from tests.support.generated import protobuf
from tests.support.services import on_both_loops

surfaces = pytest.mark.parametrize(
    "surface", [*chain.from_iterable(SURFACES.values())], ids=lambda surface: surface.name
)


@surfaces
def test_every_name_is_supported_or_has_something_in_its_place(surface: Surface) -> None:
    assert surface.theirs - surface.supported - set(surface.otherwise) == set()


@surfaces
def test_nothing_is_said_of_names_that_are_supported_or_are_not_there(surface: Surface) -> None:
    assert set(surface.instead) - surface.theirs == set()
    assert set(surface.otherwise) & surface.supported == set()
    assert set(surface.instead) & set(surface.refused) == set()


@surfaces
def test_names_that_are_refused_are_named_in_one_line_that_says_what_to_use(surface: Surface) -> None:
    for name, said in surface.refused.items():
        assert f".{name} is not supported: " in said
        assert said.count("\n") == 0


@surfaces
def test_methods_that_are_supported_take_the_same_arguments_in_the_same_way(surface: Surface) -> None:
    if surface.classes is None:
        return
    theirs, ours = surface.classes
    for name in surface.supported & public(ours):
        method, expected = getattr(ours, name, None), getattr(theirs, name)
        if not inspect.isfunction(method) or name.startswith("__"):
            continue
        assert parameters(expected) - {"kwargs"} <= parameters(method), name
        if inspect.iscoroutinefunction(expected):
            assert inspect.iscoroutinefunction(method) or "Awaitable" in str(inspect.signature(method)), name


def test_hasattr_knows_what_is_missing_and_other_names_are_the_usual_error() -> None:
    server = Server([])
    assert not hasattr(server, "start")
    with pytest.raises(UnsupportedError, match=r"^Server\.start is not supported: it serves listeners, such as "):
        _ = server.start  # type: ignore[attr-defined]
    with pytest.raises(AttributeError, match="'Server' object has no attribute 'begin'") as raised:
        _ = server.begin  # type: ignore[attr-defined]
    assert not isinstance(raised.value, UnsupportedError)


@on_both_loops
async def test_an_interceptor_of_grpcio_s_is_refused_in_one_line() -> None:
    class Theirs(grpc.aio.ServerInterceptor):  # type: ignore[misc]  # grpcio ships no types.
        async def intercept_service(self, continuation: Any, details: Any) -> Any:
            return await continuation(details)

    said = r"is not an interceptor: those are functions that return an async context, see echo\.rpc\.interceptors"
    with pytest.raises(TypeError, match=said):
        Server([], interceptors=[Theirs()])
    with pytest.raises(TypeError, match=said):
        async with memory_channel_to(Server([]), interceptors=[Theirs()]):
            pass


@on_both_loops
async def test_calls_are_instances_of_grpc_aio_s_classes() -> None:
    async with memory_channel([]) as channel:
        stub = protobuf("todo_pb2_grpc").TodosStub(channel)
        for name, kind in {
            "Add": "UnaryUnary",
            "Count": "UnaryStream",
            "AddAll": "StreamUnary",
            "Chat": "StreamStream",
        }.items():
            method = getattr(stub, name)
            assert isinstance(method, getattr(grpc.aio, f"{kind}MultiCallable"))
            call = method(protobuf("todo_pb2").Todo()) if kind.startswith("Unary") else method()
            assert isinstance(call, getattr(grpc.aio, f"{kind}Call"))
            assert isinstance(call, grpc.aio.Call)
            call.cancel()


@on_both_loops
async def test_grpclib_s_reflection_is_served_as_it_is() -> None:
    services = grpclib.reflection.service.ServerReflection.extend([])
    async with (
        memory_channel(services) as channel,
        channel.request(
            "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
            Cardinality.STREAM_STREAM,
            reflection.ServerReflectionRequest,
            reflection.ServerReflectionResponse,
        ) as stream,
    ):
        await stream.send_message(reflection.ServerReflectionRequest(list_services=""), end=True)
        reply = await stream.recv_message()
        assert reply is not None
        assert not reply.HasField("error_response")


def test_grpclib_s_health_is_served_on_asyncio() -> None:
    # In a process of its own: its messages clash with those of grpcio's package.
    source = """
import anyio
from grpclib.health.service import Health
from grpclib.health.v1.health_grpc import HealthStub
from grpclib.health.v1.health_pb2 import HealthCheckRequest
from echo.rpc.testing import memory_channel

async def main():
    async with memory_channel([Health()]) as channel:
        print(await HealthStub(channel).Check(HealthCheckRequest()))

anyio.run(main, backend="asyncio")
"""
    done = subprocess.run([sys.executable, "-c", source], check=False, capture_output=True, text=True, timeout=60)
    assert done.stdout == "status: SERVING\n\n", done.stderr


def test_betterproto_s_queue_of_requests_is_taken_on_asyncio() -> None:
    async def main() -> None:
        async with memory_channel([StreamingEchoService()]) as channel, bind(StreamingServerStub, channel) as stub:
            requests: AsyncChannel[StreamMessage] = AsyncChannel()
            await requests.send(StreamMessage("a", message="hi"))
            replies = stub.bidirectional_stream(requests)
            assert (await anext(replies)).response == "from server: hi"
            await requests.send_from([StreamMessage("a", message="bye")], close=True)
            assert [reply.response async for reply in replies] == ["from server: bye"]

    anyio.run(main, backend="asyncio")
