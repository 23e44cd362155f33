"""The functions that open a channel: to names and addresses, over any byte stream, or with a resolver of your own."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Unpack

from echo.rpc.arguments import check_connections
from echo.rpc.balancer import LOOKUP_INTERVAL, Balancer
from echo.rpc.channel import Channel
from echo.rpc.channel_options import ChannelOptions
from echo.rpc.dial import Dial
from echo.rpc.policies import POLICIES
from echo.rpc.resolve import Endpoint, Resolve, Resolver
from echo.rpc.subchannel import Connecting
from echo.rpc.unsupported import refuse_unknown
from echo.targets import DEFAULT_PORT, parse_targets
from echo.transport import Tally, TlsContext, check_context, open_background
from echo.wire import Limits

if TYPE_CHECKING:
    from echo.rpc.service_config import ServiceConfig


def _parsed(given: str | Mapping[str, object] | None) -> "ServiceConfig | None":
    if given is None:
        return None
    from echo.rpc.service_config import ServiceConfig  # noqa: PLC0415 - As in `echo.rpc.attempts`.

    return ServiceConfig.parse(given)


@asynccontextmanager
async def open_channel_to(
    resolve: Resolve,
    target: str,
    *,
    scheme: str = "http",
    authority: str | None = None,
    **options: Unpack[ChannelOptions],
) -> AsyncIterator[Channel]:
    """`open_channel` with a resolver of your own.

    Args:
        resolve: Called when the first call needs a connection, and again when a connection must be replaced.
        target: The channel's target as text.
        scheme: ``http`` or ``https``.
        authority: The servers' name until an endpoint, which has its own, is chosen; by default ``target``.
        options: `ChannelOptions`.

    Raises:
        TypeError: There is no option of that name, or one is of another class.
        ValueError: An option has an invalid value.
    """
    refuse_unknown(options, ChannelOptions, "open_channel")
    limits, keepalive = options.get("limits", Limits()), options.get("keepalive")
    check_connections(limits, keepalive)
    config = _parsed(options.get("service_config"))
    balance = options.get("balance") or (config and config.balance) or "pick_first"
    if balance not in POLICIES:
        raise ValueError(f"balance is {balance!r}, not one of {', '.join(POLICIES)}")
    policy = POLICIES[balance]()
    health_service = options.get("health_service")
    if health_service is not None and not policy.spreads:
        raise ValueError("health is watched only with round_robin")
    if health_service is None and config is not None and policy.spreads:
        health_service = config.health_service
    async with open_background() as nursery:
        notes = options.get("notes")
        common = Connecting(
            nursery,
            scheme,
            limits,
            keepalive,
            options.get("connect_timeout", 20.0),
            health_service,
            tally=Tally() if notes is None else notes.tally,
        )
        interval = options.get("lookup_interval", LOOKUP_INTERVAL)
        balancer = Balancer(target, resolve, policy, common, interval)
        channel = Channel(target, authority or target, balancer, common, options, config)
        try:
            yield channel
        finally:
            channel.close()
            channel.threads.close()


@asynccontextmanager
async def open_channel_over(
    dial: Dial, target: str, *, scheme: str = "http", authority: str | None = None, **options: Unpack[ChannelOptions]
) -> AsyncIterator[Channel]:
    """`open_channel` over any byte stream; ``dial`` opens one whenever a connection is needed.

    Requests name the server (``:authority``) as ``authority``, or else as ``target``.
    """
    endpoints = [Endpoint(target, authority or target, dial)]

    async def resolve() -> Sequence[Endpoint]:
        return endpoints

    async with open_channel_to(resolve, target, scheme=scheme, authority=authority, **options) as channel:
        yield channel


@asynccontextmanager
async def open_channel(
    host: str | Sequence[str] = "localhost",
    port: int = DEFAULT_PORT,
    *,
    tls: TlsContext | None = None,
    server_hostname: str | None = None,
    authority: str | None = None,
    **options: Unpack[ChannelOptions],
) -> AsyncIterator[Channel]:
    """A channel to ``host:port`` that lasts as long as the block. It connects when the first call needs it.

    Args:
        host: The server: ``HOST``, ``HOST:PORT``, or one of gRPC's forms (``dns:``, ``ipv4:``, ``ipv6:``, ``unix:``,
            see `echo.targets`). Several equivalent servers may be given, as a sequence or separated by commas.
        port: The port of servers that are given without one.
        tls: The context for TLS; its ALPN protocols should be ``["h2"]``. Or a function that returns it, called for
            each connection: return a new one when the client's certificate has been renewed. None for plain text.
        server_hostname: The name the server's certificate must have; by default the authority's host, or the target's.
        authority: The server's name in requests (``:authority``), ``HOST`` or ``HOST:PORT``; by default the target.
            Set it to call a virtual host of an ingress at the ingress's own address.
        options: `ChannelOptions`: ``balance``, ``wait_for_ready``, ``health_service``, ``compression``, ``codec``,
            ``status_details_codec``, ``limits``, ``keepalive``, ``connect_timeout``, ``interceptors``, ``notes``,
            ``tracing``, ``service_config``, ``lookup_interval``, ``call_credentials``, ``plaintext_credentials``.

    Raises:
        TypeError: ``tls`` is neither a context nor a function, the port is not a number, there is no option of that
            name, or one is of another class.
        ValueError: A host, the authority or an option has an invalid value.

    A name may have several addresses. It is looked up when the channel connects, and again when a connection must be
    replaced, but at most once per ``lookup_interval``. An address that fails is not tried again for a while: 0.05 s
    after the first failure, up to 2 s after several.

    Leaving the block, by an exception or cancellation too, ends the open calls and closes the connections.
    """
    targets = parse_targets(host, port)
    check_context(tls)
    async with open_channel_to(
        Resolver(targets, tls, server_hostname, authority),
        ",".join(map(str, targets)),
        scheme="http" if tls is None else "https",
        authority=authority or targets[0].authority,
        **options,
    ) as channel:
        yield channel
