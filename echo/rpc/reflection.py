"""``grpc.reflection`` v1 and v1alpha: grpclib's services with our own descriptors.

grpcurl, buf curl and similar tools use them to list a server's services and messages. Clients may keep their stream
open between questions; a drain must not wait for them.
"""

from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any, Final

import anyio
from google.protobuf.descriptor import FileDescriptor
from google.protobuf.descriptor_pb2 import FileDescriptorProto, FileDescriptorSet
from google.protobuf.descriptor_pool import DescriptorPool
from grpclib.const import Cardinality, Handler
from grpclib.reflection.service import ServerReflection
from grpclib.reflection.v1 import reflection_pb2 as v1
from grpclib.reflection.v1alpha import reflection_pb2 as v1alpha

from echo.rpc.servable import Servable, names_of

Drained = Callable[[], Awaitable[None]]

LAST_QUESTION_TIMEOUT: Final = 1.0  # Seconds to wait for a stream's last question while draining.

_SERVICES = ("grpc.reflection.v1.ServerReflection", "grpc.reflection.v1alpha.ServerReflection")
_UNSERVED: Final = Handler(anyio.sleep, Cardinality.UNARY_UNARY, bytes, bytes)


class _Pool:
    """A descriptor pool that also finds methods, ``package.Service.Method``, since the protocol treats them as symbols.

    A wrapper, because protobuf's class allows subclasses but never creates instances of them.
    """

    def __init__(self, pool: DescriptorPool) -> None:
        self._pool = pool

    def FindFileContainingSymbol(self, symbol: str) -> FileDescriptor:  # noqa: N802 - protobuf's name
        """The file that defines the symbol. Raises KeyError if the symbol is unknown."""
        try:
            return self._pool.FindFileContainingSymbol(symbol)
        except KeyError:
            file: FileDescriptor = self._pool.FindMethodByName(symbol).containing_service.file
            return file

    def __getattr__(self, name: str) -> object:
        return getattr(self._pool, name)


class _Questions:
    """The stream that grpclib's handler reads questions from; it ends shortly after the server starts to drain.

    The delay is for a question that the client sent before it could know of the drain.
    """

    def __init__(self, stream: Any, drained: Drained) -> None:
        self._stream = stream
        self._drained = drained
        self.send_message = stream.send_message

    def __aiter__(self) -> "_Questions":
        return self

    async def __anext__(self) -> object:
        question = None
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._cancel_after_drain, tasks.cancel_scope)
            question = await self._stream.recv_message()
            tasks.cancel_scope.cancel()
        if question is None:
            raise StopAsyncIteration
        return question

    async def _cancel_after_drain(self, waiting: anyio.CancelScope) -> None:
        await self._drained()
        await anyio.sleep(LAST_QUESTION_TIMEOUT)
        waiting.cancel()


class _Service:
    """A service with these methods."""

    def __init__(self, methods: Mapping[str, Handler]) -> None:
        self._methods = methods

    def __mapping__(self) -> Mapping[str, Handler]:
        return self._methods


def _drainable(service: Servable, drained: Drained) -> Servable:
    """One of grpclib's reflection services, with streams that end when the server drains."""

    def until_drained(handler: Handler) -> Handler:
        async def handle(stream: object) -> None:
            await handler.func(_Questions(stream, drained))

        return handler._replace(func=handle)

    return _Service({path: until_drained(handler) for path, handler in service.__mapping__().items()})


def reflection(
    services: Iterable[Servable | str], descriptors: bytes, *, until: Drained = anyio.sleep_forever
) -> list[Servable]:
    """The reflection services, describing the given services and themselves.

    Args:
        services: The services that the server serves, or their names.
        descriptors: A serialised ``FileDescriptorSet`` with the files of all services, imports included, as
            ``protoc --descriptor_set_out --include_imports`` writes it. A service without a file is listed, but cannot
            be described.
        until: Returns when the server drains, like `Health.drained`. Calls then end with OK once their client has asked
            nothing for a second. By default they last until the client or the drain's grace period ends them.

    Raises:
        google.protobuf.message.DecodeError: ``descriptors`` is not a ``FileDescriptorSet``.
        TypeError: A file is invalid, or imports a file that is missing.
    """
    pool = DescriptorPool()  # A separate pool: the process-wide one may hold other files with the same names.
    for file in FileDescriptorSet.FromString(descriptors).file:
        pool.AddSerializedFile(file.SerializeToString())
    for module in (v1, v1alpha):
        proto = FileDescriptorProto()
        module.DESCRIPTOR.CopyToProto(proto)
        pool.AddSerializedFile(proto.SerializeToString())
    names = sorted({*names_of(services), *_SERVICES})
    named = [_Service({f"/{name}/": _UNSERVED}) for name in names]  # It asks only for the names.
    *_, of_v1, of_v1alpha = ServerReflection.extend(named, pool=_Pool(pool))
    return [_drainable(of_v1, until), _drainable(of_v1alpha, until)]
