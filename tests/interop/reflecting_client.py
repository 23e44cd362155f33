"""A stock client that knows nothing of a server but its address: a process of its own for `test_grpcio_discovery`.

grpcio's reflection package and grpclib's define the same messages, and protobuf takes only one of them in a process.
Prints, as JSON, the services, their methods, and what ``GetReply`` answers, all of it by reflection.
"""

import json
import sys

import grpc
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase


def main(target: str) -> None:
    with grpc.insecure_channel(target) as channel:
        database = ProtoReflectionDescriptorDatabase(channel)
        pool = DescriptorPool(database)
        services = {
            name: [method.name for method in pool.FindServiceByName(name).methods] for name in database.get_services()
        }
        method = pool.FindMethodByName("com.gopay.echo.Server.GetReply")
        request_class = GetMessageClass(method.input_type)
        reply_class = GetMessageClass(method.output_type)
        call = channel.unary_unary(
            "/com.gopay.echo.Server/GetReply", request_class.SerializeToString, reply_class.FromString
        )
        reply = call(request_class(message="reflected"), timeout=30)
    print(json.dumps({"services": services, "reply": reply.response}))


main(sys.argv[1])
