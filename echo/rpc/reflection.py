"""``grpc.reflection`` v1 and v1alpha: grpclib's own services, over descriptors of ours.

grpcurl, buf curl and the like ask these what a server offers and how its messages look.
"""

from collections.abc import Iterable

from google.protobuf.descriptor import FileDescriptor
from google.protobuf.descriptor_pb2 import FileDescriptorProto, FileDescriptorSet
from google.protobuf.descriptor_pool import DescriptorPool
from grpclib.reflection._deprecated import ServerReflection as ReflectionV1Alpha
from grpclib.reflection.service import ServerReflection as ReflectionV1
from grpclib.reflection.v1 import reflection_pb2 as v1
from grpclib.reflection.v1alpha import reflection_pb2 as v1alpha

from echo.rpc.dispatch import Servable

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


def reflection(services: Iterable[Servable], descriptors: bytes) -> list[Servable]:
    """The reflection services for these services and for themselves.

    Args:
        services: What the server serves.
        descriptors: A serialised ``FileDescriptorSet`` with the files of all of them, imports included, as
            ``protoc --descriptor_set_out --include_imports`` writes it. A service that is in none of them is listed,
            and found by nobody who asks what it looks like.

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
    finder = _Pool(pool)
    return [ReflectionV1(_service_names=names, _pool=finder), ReflectionV1Alpha(_service_names=names, _pool=finder)]
