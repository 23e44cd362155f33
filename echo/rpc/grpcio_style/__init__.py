"""What `protoc` generates for grpcio (``*_pb2_grpc.py``) works with echo's channels and servers, unchanged.

``TodosStub(channel)`` asks the channel for its methods' callables: `Channel.unary_unary` and its siblings give those of
`callables`, whose calls (`calls`) behave as ``grpc.aio``'s. ``add_TodosServicer_to_server(servicer, server)`` hands its
handlers to `Server.add_registered_method_handlers`, which serves them as `servicer` makes them: ``grpc.aio``'s style,
with a `context` for each call.

This needs the package grpcio, as the generated code does; nothing of grpcio's transport is used.
"""

from echo.extras import needs

with needs("interop", part="code that was generated for grpcio"):
    from echo.rpc.grpcio_style.callables import StreamStream, StreamUnary, UnaryStream, UnaryUnary
    from echo.rpc.grpcio_style.servicer import Servicer

__all__ = ["Servicer", "StreamStream", "StreamUnary", "UnaryStream", "UnaryUnary"]
