"""What every way to open a channel takes."""

from collections.abc import Mapping, Sequence
from typing import TypedDict

from grpclib.encoding.base import CodecBase, StatusDetailsCodecBase

from echo.rpc.call_credentials import CallCredentials
from echo.rpc.call_notes import CallNotes
from echo.rpc.interceptors import ClientInterceptor
from echo.rpc.policies import Balance
from echo.rpc.tracing import ChannelTracing
from echo.transport import Keepalive
from echo.wire import Limits


class ChannelOptions(TypedDict, total=False):
    """What every way to open a channel takes.

    Attributes:
        balance: ``pick_first``, the default: all calls go to the first address that answers. ``round_robin``: they go
            to all that can be reached, in turn; of more than 64 addresses, to 64 that the channel chooses by chance.
        wait_for_ready: Whether calls wait for a connection, as long as their deadline allows, rather than fail when
            there is none to be had; for calls that do not say so themselves.
        health_service: Watch the health of this service ("" for the server as a whole) on each connection, and send no
            calls to a server that says it does not serve; a server without health service does. None, the default,
            for not watching. Only with ``round_robin``.
        compression: How to compress messages, ``gzip`` or None; for calls that do not say so themselves. It is done in
            the event loop's own thread, and takes some 25 ms for a megabyte.
        codec: Messages to bytes and back; by default whatever has ``SerializeToString`` and ``FromString``.
        status_details_codec: For `GRPCError.details`, which are bytes otherwise.
        limits: What a connection may occupy.
        keepalive: When to ask a silent server whether it is still there; None for never.
        connect_timeout: Seconds a connection may take to be ready for calls, 20 by default; so may a name's look-up.
        interceptors: Contexts that every call is made within, the outermost first; see `echo.rpc.interceptors`.
        tracing: Records the calls as traces, and tells the servers of them; None for no traces.
        notes: Who takes note of calls; None, the default, for nobody, at no cost.
        service_config: Timeouts, retries and more for the calls of each method: gRPC's service config, as JSON text or
            as a dictionary; see `echo.rpc.service_config`.
        lookup_interval: Seconds between two look-ups of a name, at least; 30 by default.
        call_credentials: Gives metadata for each call, such as a token; see `echo.rpc.call_credentials`.
        plaintext_credentials: Whether they may be sent without TLS, where anybody on the way can read them.
    """

    balance: Balance
    wait_for_ready: bool
    health_service: str | None
    compression: str | None
    codec: CodecBase | None
    status_details_codec: StatusDetailsCodecBase | None
    limits: Limits
    keepalive: Keepalive | None
    connect_timeout: float
    interceptors: Sequence[ClientInterceptor]
    tracing: ChannelTracing | None
    notes: CallNotes | None
    service_config: str | Mapping[str, object] | None
    lookup_interval: float
    call_credentials: CallCredentials | None
    plaintext_credentials: bool
