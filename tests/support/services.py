"""Services for tests, with grpclib's contract and messages that are plain bytes, so that nothing else interferes."""

import inspect
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from functools import partial, wraps
from typing import ParamSpec, TypeAlias, TypedDict, Unpack

import pytest
from grpclib.const import Cardinality, Handler
from grpclib.encoding.base import CodecBase

from echo.rpc import Channel, ClientStream, GRPCError, ServerStream


class BytesCodec(CodecBase):
    """Messages that are their own encoding."""

    __content_subtype__ = "proto"

    def encode(self, message: bytes, message_type: type[bytes]) -> bytes:
        assert message_type is bytes
        return message

    def decode(self, data: bytes, message_type: type[bytes]) -> bytes:
        assert message_type is bytes
        if data == b"undecodable":
            raise ValueError("no such message")
        return data


CODEC = BytesCodec()

Run: TypeAlias = Callable[[Callable[[], Awaitable[None]]], None]
"""The fixture that runs a function on both event loops."""

P = ParamSpec("P")


def on_both_loops(test: Callable[P, Coroutine[object, object, None]]) -> Callable[..., None]:
    """Decorates an async test: it runs on trio, and in another test on asyncio, by the fixture `Run`."""

    @wraps(test)
    def on_a_loop(run: Run, *args: P.args, **kwargs: P.kwargs) -> None:
        run(partial(test, *args, **kwargs))

    own = inspect.signature(test)
    parameters = [inspect.Parameter("run", inspect.Parameter.POSITIONAL_OR_KEYWORD), *own.parameters.values()]
    on_a_loop.__signature__ = own.replace(parameters=parameters)  # type: ignore[attr-defined]  # What pytest reads.
    return on_a_loop


BytesStream: TypeAlias = ServerStream[bytes, bytes]
Method: TypeAlias = Callable[[BytesStream], Awaitable[None]]

UNARY = Cardinality.UNARY_UNARY
CLIENT_STREAM = Cardinality.STREAM_UNARY
SERVER_STREAM = Cardinality.UNARY_STREAM
BIDI = Cardinality.STREAM_STREAM


class Service:
    """A service, ``test.Service``, whose methods are functions: ``Service(Echo=(BIDI, echo))``."""

    def __init__(self, **methods: tuple[Cardinality, Method]) -> None:
        self._methods = methods

    def __mapping__(self) -> Mapping[str, Handler]:
        return {path(name): Handler(method, kind, bytes, bytes) for name, (kind, method) in self._methods.items()}


def path(name: str) -> str:
    """The path of a method of `Service`."""
    return f"/test.Service/{name}"


class CallOptions(TypedDict, total=False):
    """The arguments of `Channel.request`, other than messages."""

    timeout: float | None
    metadata: Mapping[str, str | bytes] | None
    wait_for_ready: bool | None
    compression: str | None


def call(
    channel: Channel, name: str, cardinality: Cardinality, **options: Unpack[CallOptions]
) -> ClientStream[bytes, bytes]:
    """A call of one of `Service`'s methods."""
    return channel.request(path(name), cardinality, bytes, bytes, **options)


async def unary(channel: Channel, name: str, message: bytes = b"", **options: Unpack[CallOptions]) -> bytes:
    """Call a unary method; returns its reply."""
    async with call(channel, name, UNARY, **options) as stream:
        await stream.send_message(message)
        reply = await stream.recv_message()
        assert reply is not None
        return reply


async def failure(channel: Channel, name: str, message: bytes = b"", *, timeout: float | None = None) -> GRPCError:
    """The error that a unary call ends with."""
    with pytest.raises(GRPCError) as raised:
        await unary(channel, name, message, timeout=timeout)
    return raised.value


async def echo_one(stream: BytesStream) -> None:
    """Answers a message with itself."""
    message = await stream.recv_message()
    assert message is not None
    await stream.send_message(message)


async def echo_all(stream: BytesStream) -> None:
    """Answers each message with itself."""
    async for message in stream:
        await stream.send_message(message)


async def count(stream: BytesStream) -> None:
    """Answers with the number of messages."""
    await stream.send_message(b"%d" % len([message async for message in stream]))


async def repeat(stream: BytesStream) -> None:
    """Answers ``b"N"`` with N messages."""
    message = await stream.recv_message()
    assert message is not None
    for number in range(int(message)):
        await stream.send_message(b"%d" % number)


ECHO = Service(
    One=(UNARY, echo_one), All=(BIDI, echo_all), Count=(CLIENT_STREAM, count), Repeat=(SERVER_STREAM, repeat)
)
