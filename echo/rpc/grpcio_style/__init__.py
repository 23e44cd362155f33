"""Lets code that `protoc` generates for grpcio (``*_pb2_grpc.py``) work with echo's channels and servers, unchanged.

``TodosStub(channel)`` asks the channel for callables (`Channel.unary_unary` and the like), which are those of
`callables`; their calls (`calls`) behave like ``grpc.aio``'s. ``add_TodosServicer_to_server(servicer, server)`` passes
its handlers to `Server.add_registered_method_handlers`; `servicer` serves them in ``grpc.aio``'s style, with a
`context` for each call.

This needs the package grpcio, as the generated code does, but uses nothing of grpcio's transport.
"""

from echo.extras import needs

with needs("interop", part="code that was generated for grpcio"):
    from echo.rpc.grpcio_style.callables import StreamStream, StreamUnary, UnaryStream, UnaryUnary
    from echo.rpc.grpcio_style.generic import add_generic_handlers
    from echo.rpc.grpcio_style.servicer import Servicer

__all__ = ["Servicer", "StreamStream", "StreamUnary", "UnaryStream", "UnaryUnary", "add_generic_handlers"]
