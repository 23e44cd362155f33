"""gRPC on anyio: what a user of the runtime imports.

`Server` and `serve` run grpclib-style services; `open_channel` gives a `Channel` for betterproto's stubs and for
``async with channel.request(...) as stream``. `Health` and `reflection` are services to add to one's own.
"""

from grpclib.const import Cardinality, Status
from grpclib.exceptions import GRPCError, ProtocolError, StreamTerminatedError

from echo.rpc.call_credentials import CallCredentials
from echo.rpc.call_notes import CallNotes, CallRecord
from echo.rpc.channel import Channel
from echo.rpc.channel_options import ChannelOptions
from echo.rpc.channels import open_channel, open_channel_over
from echo.rpc.client_stream import ClientStream
from echo.rpc.connectivity import ChannelState
from echo.rpc.deadline import Deadline
from echo.rpc.policies import Balance
from echo.rpc.servable import Servable
from echo.rpc.server import Server, serve
from echo.rpc.server_stream import ServerStream
from echo.rpc.stubs import bind
from echo.transport import Keepalive, open_tcp_listener, open_unix_listener
from echo.wire import Limits

__all__ = [
    "Balance",
    "CallCredentials",
    "CallNotes",
    "CallRecord",
    "Cardinality",
    "Channel",
    "ChannelOptions",
    "ChannelState",
    "ClientStream",
    "Deadline",
    "GRPCError",
    "Keepalive",
    "Limits",
    "ProtocolError",
    "Servable",
    "Server",
    "ServerStream",
    "Status",
    "StreamTerminatedError",
    "bind",
    "open_channel",
    "open_channel_over",
    "open_tcp_listener",
    "open_unix_listener",
    "serve",
]
