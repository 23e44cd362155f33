"""``grpc.reflection`` v1 and v1alpha: grpclib's own services, over descriptors of ours.

grpcurl, buf curl and the like ask these what a server offers and how its messages look. They may keep their stream open
for as long as they like, to ask again; a drain must not wait for that.
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

from echo.rpc.servable import Servable

Until = Callable[[], Awaitable[None]]

LAST_QUESTION: Final = 1.0  # Seconds a stream has for its next question when the server drains.

_SERVICES = ("grpc.reflection.v1.ServerReflection", "grpc.reflection.v1alpha.ServerReflection")


class _Pool:
    """A descriptor pool that finds methods too, ``package.Service.Method``: to the protocol they are symbols as well.

    Wraps one, because protobuf's own class takes subclasses but makes no instances of them.
    """

    def __init__(self, pool: DescriptorPool) -> None:
        self._pool = pool

    def FindFileContainingSymbol(self, symbol: str) -> FileDescriptor:  # noqa: N802 - protobuf's name
        """The file that defines the symbol. Raises KeyError if there is none."""
        try:
            return self._pool.FindFileContainingSymbol(symbol)
        except KeyError:
            file: FileDescriptor = self._pool.FindMethodByName(symbol).containing_service.file
            return file

    def __getattr__(self, name: str) -> object:
        return getattr(self._pool, name)


class _Questions:
    """The stream of a reflection call, as grpclib's handler uses it: its questions end when the server drains.

    Not at once, as one may be on its way that the client sent before it could know of the drain.
    """

    def __init__(self, stream: Any, until: Until) -> None:
        self._stream = stream
        self._until = until
        self.send_message = stream.send_message

    def __aiter__(self) -> "_Questions":
        return self

    async def __anext__(self) -> object:
        question = None
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._give_up, tasks.cancel_scope)
            question = await self._stream.recv_message()
            tasks.cancel_scope.cancel()
        if question is None:
            raise StopAsyncIteration
        return question

    async def _give_up(self, waiting: anyio.CancelScope) -> None:
        await self._until()
        await anyio.sleep(LAST_QUESTION)
        waiting.cancel()


class _Named:
    """Stands for a service of this name, of which reflection needs to know no more."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __mapping__(self) -> Mapping[str, Handler]:
        async def never(stream: object) -> None:
            """It is not served."""

        return {f"/{self._name}/": Handler(never, Cardinality.UNARY_UNARY, bytes, bytes)}


class _Ending:
    """A reflection service of grpclib's whose streams end when the server drains."""

    def __init__(self, service: Servable, until: Until) -> None:
        self._service = service
        self._until = until

    def __mapping__(self) -> Mapping[str, Handler]:
        return {path: self._ending(handler) for path, handler in self._service.__mapping__().items()}

    def _ending(self, handler: Handler) -> Handler:
        async def handle(stream: object) -> None:
            await handler.func(_Questions(stream, self._until))

        return Handler(handle, handler.cardinality, handler.request_type, handler.reply_type)


def reflection(
    services: Iterable[Servable], descriptors: bytes, *, until: Until = anyio.sleep_forever
) -> list[Servable]:
    """The reflection services for these services and for themselves.

    Args:
        services: What the server serves.
        descriptors: A serialised ``FileDescriptorSet`` with the files of all of them, imports included, as
            ``protoc --descriptor_set_out --include_imports`` writes it. A service that is in none of them is listed,
            and found by nobody who asks what it looks like.
        until: Returns when the server drains, such as `Health.drained`; then calls end, with OK, whose client has asked
            nothing for a moment. By default they go on until the client or the drain's grace period ends them.

    Raises:
        google.protobuf.message.DecodeError: The descriptors are none.
        TypeError: A file of theirs is not sound, or imports one that is not there.
    """
    pool = DescriptorPool()  # A pool of our own: the process-wide one may hold other files of the same names.
    for file in FileDescriptorSet.FromString(descriptors).file:
        pool.AddSerializedFile(file.SerializeToString())
    for module in (v1, v1alpha):
        proto = FileDescriptorProto()
        module.DESCRIPTOR.CopyToProto(proto)
        pool.AddSerializedFile(proto.SerializeToString())
    names = sorted({path.split("/")[1] for service in services for path in service.__mapping__()} | set(_SERVICES))
    *_, of_v1, of_v1alpha = ServerReflection.extend([_Named(name) for name in names], pool=_Pool(pool))
    return [_Ending(of_v1, until), _Ending(of_v1alpha, until)]
