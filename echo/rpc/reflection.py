"""``grpc.reflection`` v1 and v1alpha: grpclib's own services, over descriptors of ours.

grpcurl, buf curl and the like ask these what a server offers and how its messages look.
"""

from collections.abc import Iterable

from google.protobuf.descriptor_pb2 import FileDescriptorProto, FileDescriptorSet
from google.protobuf.descriptor_pool import DescriptorPool
from grpclib.reflection._deprecated import ServerReflection as ReflectionV1Alpha
from grpclib.reflection.service import ServerReflection as ReflectionV1
from grpclib.reflection.v1 import reflection_pb2 as v1
from grpclib.reflection.v1alpha import reflection_pb2 as v1alpha

from echo.rpc.dispatch import Servable

_SERVICES = ("grpc.reflection.v1.ServerReflection", "grpc.reflection.v1alpha.ServerReflection")


def reflection(services: Iterable[Servable], descriptors: bytes) -> list[Servable]:
    """The reflection services for these services and for themselves.

    Args:
        services: What the server serves.
        descriptors: A serialised ``FileDescriptorSet`` with the files of all of them, imports included, as
            ``protoc --descriptor_set_out --include_imports`` writes it.
    """
    pool = DescriptorPool()  # A pool of our own: the process-wide one may hold other files of the same names.
    for file in FileDescriptorSet.FromString(descriptors).file:
        pool.AddSerializedFile(file.SerializeToString())
    for module in (v1, v1alpha):
        proto = FileDescriptorProto()
        module.DESCRIPTOR.CopyToProto(proto)
        pool.AddSerializedFile(proto.SerializeToString())
    names = sorted({path.split("/")[1] for service in services for path in service.__mapping__()} | set(_SERVICES))
    return [ReflectionV1(_service_names=names, _pool=pool), ReflectionV1Alpha(_service_names=names, _pool=pool)]
