"""Reflection, v1 and v1alpha: a client that knows nothing learns everything, and nothing it asks fails the call."""

import subprocess
import sys
from collections.abc import Awaitable, Callable, Sequence
from importlib.resources import files
from types import ModuleType
from typing import TypeAlias, cast

import anyio
import pytest
from google.protobuf.descriptor_pb2 import FieldDescriptorProto, FileDescriptorProto, FileDescriptorSet
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message import DecodeError
from grpclib.reflection.v1 import reflection_pb2 as v1
from grpclib.reflection.v1alpha import reflection_pb2 as v1alpha
from hypothesis import given
from hypothesis import strategies as st

from echo.rpc import Cardinality, Channel, Servable, Status
from echo.rpc.health import Health
from echo.rpc.reflection import reflection
from echo.rpc.testing import memory_channel
from echo.services import EchoService, StreamingEchoService, echo_services
from tests.support.services import ECHO, on_both_loops

Run = Callable[[Callable[[], Awaitable[None]]], None]

# The two versions differ in name only.
Request: TypeAlias = v1.ServerReflectionRequest
Response: TypeAlias = v1.ServerReflectionResponse
Extension: TypeAlias = v1.ExtensionRequest

VERSIONS = pytest.mark.parametrize("version", [v1, v1alpha], ids=["v1", "v1alpha"])

DESCRIPTORS = files("echo.pb").joinpath("descriptors.binpb").read_bytes()
SERVICES = {
    "com.gopay.echo.Server": ["GetReply"],
    "com.gopay.echo.evidence.Evidence": ["Get", "Watch"],
    "com.gopay.echo.streaming.StreamingServer": ["ClientStream", "ServerStream", "BidirectionalStream"],
    "grpc.health.v1.Health": ["Check", "Watch", "List"],
    "grpc.reflection.v1.ServerReflection": ["ServerReflectionInfo"],
    "grpc.reflection.v1alpha.ServerReflection": ["ServerReflectionInfo"],
}


async def ask(channel: Channel, version: ModuleType, requests: Sequence[Request]) -> list[Response]:
    """Ask in one call, one after the other."""
    path = f"/{version.DESCRIPTOR.package}.ServerReflection/ServerReflectionInfo"
    # Requests of both versions are written as v1's: the bytes are the same.
    request_type = cast("type[Request]", version.ServerReflectionRequest)
    response_type = cast("type[Response]", version.ServerReflectionResponse)
    responses = []
    async with channel.request(path, Cardinality.STREAM_STREAM, request_type, response_type) as stream:
        await stream.send_request()
        for request in requests:
            await stream.send_message(request_type.FromString(request.SerializeToString()))
            response = await stream.recv_message()
            assert response is not None
            responses.append(response)
        await stream.end()
        assert await stream.recv_message() is None
    return responses


async def ask_one(channel: Channel, version: ModuleType, request: Request) -> Response:
    (response,) = await ask(channel, version, [request])
    return response


def file_in(response: Response) -> FileDescriptorProto:
    (data,) = response.file_descriptor_response.file_descriptor_proto
    return FileDescriptorProto.FromString(data)


def described(name: str, package: str, message: str) -> bytes:
    """A descriptor set of one file with one message."""
    proto = FileDescriptorProto(name=name, package=package)
    proto.message_type.add(name=message).field.add(
        name="value",
        number=1,
        type=FieldDescriptorProto.TYPE_STRING,
        label=FieldDescriptorProto.LABEL_OPTIONAL,
    )
    return FileDescriptorSet(file=[proto]).SerializeToString()


@VERSIONS
@on_both_loops
async def test_all_services_are_listed_health_and_reflection_among_them(version: ModuleType) -> None:
    async with memory_channel(echo_services().services) as channel:
        response = await ask_one(channel, version, Request(list_services="*"))
        assert [service.name for service in response.list_services_response.service] == sorted(SERVICES)


@VERSIONS
@on_both_loops
async def test_from_the_names_alone_a_client_learns_every_method_and_message(version: ModuleType) -> None:
    pool = DescriptorPool()
    added: set[str] = set()

    async def add(proto: FileDescriptorProto, channel: Channel) -> None:
        for dependency in proto.dependency:
            await add(file_in(await ask_one(channel, version, Request(file_by_filename=dependency))), channel)
        if proto.name not in added:
            added.add(proto.name)
            pool.AddSerializedFile(proto.SerializeToString())

    async with memory_channel(echo_services().services) as channel:
        for service, methods in SERVICES.items():
            await add(
                file_in(await ask_one(channel, version, Request(file_containing_symbol=service))),
                channel,
            )
            assert [method.name for method in pool.FindServiceByName(service).methods] == methods
    message = pool.FindServiceByName("com.gopay.echo.streaming.StreamingServer").methods[0].input_type
    assert [(field.name, field.number) for field in message.fields] == [
        ("stream_id", 1),
        ("sequence_number", 2),
        ("timestamp", 3),
        ("message", 4),
    ]


@VERSIONS
@pytest.mark.parametrize(
    ("symbol", "file"),
    [
        ("com.gopay.echo.Server", "echo.proto"),
        ("com.gopay.echo.Server.GetReply", "echo.proto"),
        ("com.gopay.echo.Message", "echo.proto"),
        ("com.gopay.echo.Message.message", "echo.proto"),
        ("com.gopay.echo.streaming.StreamingServer.BidirectionalStream", "streaming.proto"),
        ("grpc.health.v1.HealthCheckResponse.ServingStatus", "grpc/health/v1/health.proto"),
    ],
)
async def test_a_symbol_of_any_kind_leads_to_its_file(version: ModuleType, symbol: str, file: str) -> None:
    async with memory_channel(echo_services().services) as channel:
        by_symbol = file_in(await ask_one(channel, version, Request(file_containing_symbol=symbol)))
        assert by_symbol.name == file
        assert by_symbol == file_in(await ask_one(channel, version, Request(file_by_filename=file)))


@VERSIONS
async def test_an_unknown_symbol_is_not_found_and_the_call_continues(version: ModuleType) -> None:
    nothing = [
        Request(file_by_filename="no/such.proto"),
        Request(file_by_filename=""),
        Request(file_containing_symbol="no.such.Symbol"),
        Request(file_containing_symbol="com.gopay.echo"),
        Request(file_containing_symbol="com.gopay.echo.Server.NoMethod"),
        Request(file_containing_symbol=""),
        Request(file_containing_extension=Extension(containing_type="com.gopay.echo.Message", extension_number=1)),
        Request(file_containing_extension=Extension(containing_type="no.such.Type", extension_number=-1)),
        Request(all_extension_numbers_of_type="com.gopay.echo.Server"),
    ]
    async with memory_channel(echo_services().services) as channel:
        *answers, invalid, last = await ask(
            channel, version, [*nothing, Request(), Request(file_by_filename="echo.proto")]
        )
        assert [answer.error_response.error_code for answer in answers] == [Status.NOT_FOUND.value] * len(nothing)
        assert invalid.error_response.error_code == Status.INVALID_ARGUMENT.value
        assert file_in(last).name == "echo.proto"


NAMES = st.text() | st.sampled_from(["echo.proto", "com.gopay.echo.Server", "com.gopay.echo.Message.message", "a.b.c"])
REQUESTS = st.one_of(
    st.just(Request()),
    NAMES.map(lambda name: Request(file_by_filename=name)),
    NAMES.map(lambda name: Request(file_containing_symbol=name)),
    NAMES.map(lambda name: Request(all_extension_numbers_of_type=name)),
    NAMES.map(lambda name: Request(list_services=name)),
    st.builds(
        lambda name, number: Request(
            file_containing_extension=Extension(containing_type=name, extension_number=number)
        ),
        NAMES,
        st.integers(-(2**31), 2**31 - 1),
    ),
)


@VERSIONS
@given(requests=st.lists(REQUESTS, max_size=10))
def test_every_request_has_an_answer(version: ModuleType, requests: list[Request]) -> None:
    async def main() -> None:
        async with memory_channel(echo_services().services) as channel:
            for answer in await ask(channel, version, requests):
                assert answer.WhichOneof("message_response") is not None

    anyio.run(main, backend="trio")


async def test_descriptors_of_two_servers_in_a_process_do_not_meet() -> None:
    one = reflection([], described("same.proto", "one", "Same"))
    other = reflection([], described("same.proto", "other", "Same"))
    for services, package in ((one, "one"), (other, "other")):
        async with memory_channel(services) as channel:
            file = file_in(await ask_one(channel, v1, Request(file_by_filename="same.proto")))
            assert file.package == package


async def test_a_service_without_a_descriptor_is_listed_but_not_described() -> None:
    services: list[Servable] = [EchoService(), ECHO]
    async with memory_channel([*services, *reflection(services, DESCRIPTORS)]) as channel:
        listed, file = await ask(
            channel, v1, [Request(list_services=""), Request(file_containing_symbol="test.Service")]
        )
        names = [service.name for service in listed.list_services_response.service]
        assert names == [
            "com.gopay.echo.Server",
            "grpc.reflection.v1.ServerReflection",
            "grpc.reflection.v1alpha.ServerReflection",
            "test.Service",
        ]
        assert file.error_response.error_code == Status.NOT_FOUND.value


def test_invalid_descriptors_are_refused_when_the_server_is_created() -> None:
    services: list[Servable] = [EchoService(), StreamingEchoService(), Health([])]
    with pytest.raises(DecodeError):
        reflection(services, b"\xff")
    importing = FileDescriptorSet(file=[FileDescriptorProto(name="a.proto", dependency=["missing.proto"])])
    with pytest.raises(TypeError, match=r"missing\.proto"):
        reflection(services, importing.SerializeToString())


def test_services_are_made_without_a_warning_and_without_an_event_loop() -> None:
    script = """
import asyncio.events

def refuse(*_):
    raise AssertionError("an event loop was asked for")

for name in ("get_event_loop", "_get_event_loop", "new_event_loop", "set_event_loop"):
    if hasattr(asyncio.events, name):
        setattr(asyncio.events, name, refuse)
        setattr(asyncio, name, refuse)

from echo.services import echo_services

print(len(echo_services().services))
"""
    done = subprocess.run([sys.executable, "-W", "error", "-c", script], capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr, done.returncode) == ("6\n", "", 0)
