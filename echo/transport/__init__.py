"""Connects sockets to `echo.wire`: a session for each connection, with a reader, a writer and its calls."""

from echo.transport.backend import Backend, current_backend
from echo.transport.background import open_background
from echo.transport.call import Call
from echo.transport.client import ClientSession
from echo.transport.client_call import ClientCall
from echo.transport.handshake import TlsContext, check_context, connect_tls, context_for_connection
from echo.transport.keepalive import Keepalive
from echo.transport.link import MAX_NOT_SENT
from echo.transport.listener import StreamListener, open_tcp_listener, open_unix_listener
from echo.transport.memory import memory_stream_pair
from echo.transport.peer import Peer, address_text
from echo.transport.refusals import RefusalLog
from echo.transport.server import ServerSession
from echo.transport.server_call import EndCause, ServerCall
from echo.transport.source import ConnectionSource, SourceListener
from echo.transport.starting import AcceptedConnection, ServingListener
from echo.transport.tally import Tally
from echo.transport.tls_stream import REQUESTED_NAME
from echo.transport.waiting import Signal
from echo.transport.watching import CallObserver, CallTrace

__all__ = [
    "MAX_NOT_SENT",
    "REQUESTED_NAME",
    "AcceptedConnection",
    "Backend",
    "Call",
    "CallObserver",
    "CallTrace",
    "ClientCall",
    "ClientSession",
    "ConnectionSource",
    "EndCause",
    "Keepalive",
    "Peer",
    "RefusalLog",
    "ServerCall",
    "ServerSession",
    "ServingListener",
    "Signal",
    "SourceListener",
    "StreamListener",
    "Tally",
    "TlsContext",
    "address_text",
    "check_context",
    "connect_tls",
    "context_for_connection",
    "current_backend",
    "memory_stream_pair",
    "open_background",
    "open_tcp_listener",
    "open_unix_listener",
]
