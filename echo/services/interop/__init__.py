"""The services that public test suites call: gRPC's interoperability tests, and the Gateway API's conformance tests.

Served only with ``ECHO_INTEROP=on``, because they send messages of any size a caller asks for, and tell callers where
the server runs and which headers a path has added.
"""

from collections.abc import Mapping

from grpclib.const import Handler

from echo.evidence import Place
from echo.rpc import Cardinality, GRPCError, Servable, ServerStream, Status
from echo.services.interop.grpc_echo import GrpcEcho
from echo.services.interop.testing import PACKAGE, InteropTestService
from echo.services.protobuf import Messages

__all__ = ["interop_services"]


def interop_services(messages: Messages, max_message_size: int) -> list[Servable]:
    """``grpc.testing.TestService``, ``grpc.testing.UnimplementedService`` and the Gateway API's ``GrpcEcho``.

    Args:
        messages: Has theirs.
        max_message_size: The largest response, in bytes.
    """
    return [
        InteropTestService(messages, max_message_size),
        UnimplementedService(messages),
        GrpcEcho(messages, Place.from_environment()),
    ]


class UnimplementedService:
    """``grpc.testing.UnimplementedService``: reflection describes it, and calls of it end with UNIMPLEMENTED.

    Args:
        messages: Has its message.
    """

    def __init__(self, messages: Messages) -> None:
        self._empty = messages(f"{PACKAGE}.Empty")

    def __mapping__(self) -> Mapping[str, Handler]:
        path = f"/{PACKAGE}.UnimplementedService/UnimplementedCall"
        return {path: Handler(_unimplemented, Cardinality.UNARY_UNARY, self._empty, self._empty)}


async def _unimplemented(stream: ServerStream[object, object]) -> None:
    raise GRPCError(Status.UNIMPLEMENTED, f"unknown method {stream.path}")
