"""The options that all functions that open a channel share."""

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
    """The options of a channel.

    Attributes:
        balance: ``pick_first``, the default: all calls go to the first address that answers. ``round_robin``: calls go
            to all reachable addresses in turn; of more than 64 addresses, to 64 that the channel chooses at random.
        wait_for_ready: Whether calls wait for a connection until their deadline instead of failing when none can be
            made. A call's own setting overrides it.
        health_service: The service ("" for the whole server) whose health is watched on each connection. Servers that
            report that it is not serving get no calls; servers without the health service do. By default None: health
            is not watched. Only with ``round_robin``.
        compression: How to compress messages: ``gzip`` or None. A call's own setting overrides it. Compressing runs in
            the event loop's thread, and takes about 25 ms per megabyte.
        codec: Encodes and decodes messages. By default, any class with ``SerializeToString`` and ``FromString`` works.
        status_details_codec: Encodes and decodes `GRPCError.details`, which are bytes otherwise.
        limits: The limits of each connection.
        keepalive: When to send PINGs on a silent connection; None for never.
        connect_timeout: Seconds until a connection must be ready for calls, 20 by default; also the time for looking up
            a name.
        interceptors: Contexts around every call, the outermost first; see `echo.rpc.interceptors`.
        tracing: Records the calls as traces, and passes the traces' context to servers; None for no traces.
        notes: Takes note of the channel's calls and connections; None, the default, costs nothing.
        service_config: Timeouts, retries and more for the calls of each method, and balancing: gRPC's service config,
            as JSON text or as a dictionary; see `echo.rpc.service_config`.
        lookup_interval: The least number of seconds between look-ups of a name, 30 by default.
        call_credentials: Provides metadata for each call, for instance a token; see `echo.rpc.call_credentials`.
        plaintext_credentials: Whether call credentials may be sent without TLS, where others can read them.
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
