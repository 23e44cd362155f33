"""What grpcurl does with the command lines of the README, for machines where it isn't installed.

Like grpcurl it knows nothing of the services beforehand: it asks the server by reflection, through grpcio. Understands
``-plaintext``, ``-d JSON``, ``ADDRESS list`` and ``ADDRESS package.Service/Method`` of a unary method.
"""

import sys
from collections.abc import Sequence

import grpc
from google.protobuf import json_format, message_factory
from google.protobuf.descriptor_pool import DescriptorPool
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase


def main(arguments: Sequence[str]) -> None:
    words = list(arguments)
    words.remove("-plaintext")
    data = "{}"
    if "-d" in words:
        position = words.index("-d")
        data = words[position + 1]
        del words[position : position + 2]
    address, what = words
    with grpc.insecure_channel(address) as channel:
        database = ProtoReflectionDescriptorDatabase(channel)
        if what == "list":
            print("\n".join(sorted(database.get_services())))
            return
        service_name, _, method_name = what.partition("/")
        pool = DescriptorPool(database)
        method = pool.FindServiceByName(service_name).FindMethodByName(method_name)
        request = message_factory.GetMessageClass(method.input_type)()
        json_format.Parse(data, request)
        call = channel.unary_unary(
            f"/{service_name}/{method_name}",
            request_serializer=type(request).SerializeToString,
            response_deserializer=message_factory.GetMessageClass(method.output_type).FromString,
        )
        print(json_format.MessageToJson(call(request, timeout=60)))


if __name__ == "__main__":
    main(sys.argv[1:])
