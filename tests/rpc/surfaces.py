"""The public names of grpc.aio, grpclib and betterproto, each with its counterpart in echo.

`test_surfaces` compares them with what is installed, and the pages on moving show them.
"""

import ast
import dataclasses
import inspect
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

import betterproto
import betterproto2.grpclib
import grpc
import grpclib
import grpclib.client
import grpclib.config
import grpclib.events
import grpclib.metadata
import grpclib.reflection.service
import grpclib.server
import grpclib.testing
import grpclib.utils
from betterproto.grpc.util.async_channel import AsyncChannel

from echo.rpc import Channel, ClientStream, Server, ServerStream, bind, open_channel
from echo.rpc.events import ChannelEvents, ServerEvents
from echo.rpc.grpcio_style import callables, calls
from echo.rpc.grpcio_style.context import BlockingContext, Context
from echo.rpc.testing import memory_channel
from echo.rpc.unsupported import UnsupportedError

DUNDERS = {"__aenter__", "__aexit__", "__aiter__", "__anext__", "__await__", "__call__"}
# Attributes that instances get in __init__, which classes do not show.
OF_INSTANCES: dict[type, set[str]] = {ServerStream: {"metadata", "deadline", "user_agent", "peer"}}


def public(cls: type) -> set[str]:
    """The names of a class that its users may use."""
    names = set(dir(cls)) | set(inspect.get_annotations(cls)) | OF_INSTANCES.get(cls, set())
    return {name for name in names if not name.startswith("_") or name in DUNDERS}


def parameters(function: Any) -> set[str]:
    """The names of the arguments that a function takes, those of a dictionary of options included."""
    found = set()
    for name, parameter in inspect.signature(function).parameters.items():
        if parameter.kind is inspect.Parameter.VAR_KEYWORD and parameter.annotation is not inspect.Parameter.empty:
            (options,) = parameter.annotation.__args__  # Unpack[Options]
            found |= set(options.__annotations__)
        elif name != "self":
            found.add(name)
    return found


def defined_in(module: ModuleType) -> set[str]:
    """The classes and functions that a module makes."""
    return {
        name
        for name, value in vars(module).items()
        if not name.startswith("_") and getattr(value, "__module__", None) == module.__name__
    }


def classes_in(file: str) -> set[str]:
    """The classes in a file of grpclib's that is not imported: its messages clash with those of grpcio's packages."""
    tree = ast.parse((Path(grpclib.__file__).parent / file).read_text())
    names = {node.name for node in tree.body if isinstance(node, ast.ClassDef)}
    return {name for name in names if not name.startswith("_")}


@dataclass(frozen=True)
class Surface:
    """The names of one class, function or module.

    Attributes:
        name: As its users write it.
        theirs: Its public names, or its parameters.
        ours: Those that work with echo as they do there.
        classes: Theirs and ours, where they are compared method by method.
        instead: What to use for the others, by name.
    """

    name: str
    theirs: set[str]
    ours: set[str]
    classes: tuple[type, type] | None = None
    instead: Mapping[str, str] = field(default_factory=dict)

    @property
    def supported(self) -> set[str]:
        return self.theirs & self.ours

    @property
    def refused(self) -> dict[str, str]:
        """What using a name says, for those that say what to use."""
        if self.classes is None:
            return {}
        nothing: object = object.__new__(self.classes[1])
        said = {}
        for name in self.theirs - self.ours:
            try:
                getattr(nothing, name)
            except UnsupportedError as error:
                said[name] = str(error)
            except AttributeError:
                pass
        return said

    @property
    def otherwise(self) -> dict[str, str]:
        """What to use for each name that is not supported."""
        return {**self.instead, **{name: said.partition(": ")[2] for name, said in self.refused.items()}}


def of_class(name: str, theirs: type, ours: type, *more: type, instead: Mapping[str, str] | None = None) -> Surface:
    """A class and ours; or several of ours that do its work together."""
    return Surface(name, public(theirs), public(ours).union(*map(public, more)), (theirs, ours), instead or {})


def of_function(name: str, theirs: Any, ours: Iterable[str], instead: Mapping[str, str]) -> Surface:
    """The parameters of a function, or of what makes an object."""
    return Surface(f"{name}(…)", parameters(theirs), set(ours), None, instead)


_OPTIONS = "`Limits`, `Keepalive` and `ChannelOptions` have what can be set"
_OPENED = {"target": "`open_channel(target)`", "credentials": "`tls=`, an `ssl.SSLContext`; `call_credentials=`"}
_CONTEXTS = "an async context, see [interceptors](../library/interceptors.md)"
_CHANNEL = "`open_channel`"
_BACKEND = "there is none: the event loop that runs is used"

GRPCIO = [
    of_class("Channel", grpc.aio.Channel, Channel),
    *(
        of_class(f"{kind}MultiCallable", getattr(grpc.aio, f"{kind}MultiCallable"), getattr(callables, kind))
        for kind in ("UnaryUnary", "UnaryStream", "StreamUnary", "StreamStream")
    ),
    of_function(
        "stub.Method", grpc.aio.UnaryUnaryMultiCallable.__call__, parameters(callables.UnaryUnary.__call__), {}
    ),
    *(
        of_class(f"{kind}Call", getattr(grpc.aio, f"{kind}Call"), getattr(calls, f"{kind}Call"))
        for kind in ("UnaryUnary", "UnaryStream", "StreamUnary", "StreamStream")
    ),
    of_class("Server", grpc.aio.Server, Server),
    of_class("ServicerContext", grpc.aio.ServicerContext, Context),
    of_class("grpc.ServicerContext", grpc.ServicerContext, BlockingContext, Context),
    of_class("grpc.Channel", grpc.Channel, Channel),
    of_class("grpc.UnaryUnaryMultiCallable", grpc.UnaryUnaryMultiCallable, callables.UnaryUnary),
    of_function(
        "secure_channel",
        grpc.aio.secure_channel,
        {},
        {
            **_OPENED,
            "options": _OPTIONS,
            "compression": '`compression="gzip"`',
            "interceptors": f"`interceptors=`: each is {_CONTEXTS}",
        },
    ),
    of_function(
        "server",
        grpc.aio.server,
        {},
        {
            "migration_thread_pool": "plain functions run in anyio's worker threads",
            "handlers": "`add_XServicer_to_server`",
            "interceptors": f"`Server(…, interceptors=)`: each is {_CONTEXTS}",
            "options": "`Limits`, `Keepalive`",
            "maximum_concurrent_rpcs": "`Limits(max_concurrent_streams=…)`, for each connection",
            "compression": '`Server(…, compression="gzip")`',
        },
    ),
    Surface(
        "grpc.aio",
        set(grpc.aio.__all__),
        {
            *("EOF", "AbortError", "AioRpcError", "BaseError", "InternalError", "UsageError", "Metadata"),
            *("Call", "RpcContext", "UnaryUnaryCall", "UnaryStreamCall", "StreamUnaryCall", "StreamStreamCall"),
            *("ServicerContext", "UnaryUnaryMultiCallable", "UnaryStreamMultiCallable"),
            *("StreamUnaryMultiCallable", "StreamStreamMultiCallable"),
        },
        None,
        {
            "Channel": "`echo.rpc.Channel`",
            "Server": "`echo.rpc.Server`",
            "insecure_channel": _CHANNEL,
            "secure_channel": f"{_CHANNEL} with `tls=`",
            "server": "`Server([])`",
            "init_grpc_aio": "nothing has to be done",
            "shutdown_grpc_aio": "nothing has to be done",
            "ClientCallDetails": "an interceptor is given the `ClientStream`",
            "InterceptedUnaryUnaryCall": "calls are the same with interceptors",
            "ServerInterceptor": _CONTEXTS,
            **dict.fromkeys(
                (
                    "ClientInterceptor",
                    "UnaryUnaryClientInterceptor",
                    "UnaryStreamClientInterceptor",
                    "StreamUnaryClientInterceptor",
                    "StreamStreamClientInterceptor",
                ),
                _CONTEXTS,
            ),
        },
    ),
]


async def _ignore(event: object) -> None:
    """A listener."""


def _announced() -> set[str]:
    """grpclib's events that a server or a channel of ours has."""
    found = set()
    for name in defined_in(grpclib.events):
        for events in (ServerEvents(), ChannelEvents()):
            with suppress(KeyError):
                events.add_listener(getattr(grpclib.events, name), _ignore)
                found.add(name)
    return found


_LISTENER = "listeners have what they need"
_CONFIG = {item.name for item in dataclasses.fields(grpclib.config.Configuration)}


GRPCLIB = [
    of_class("client.Channel", grpclib.client.Channel, Channel),
    of_function(
        "client.Channel",
        grpclib.client.Channel.__init__,
        parameters(open_channel),
        {
            "loop": _BACKEND,
            "path": '`open_channel("unix:/path")`',
            "ssl": "`tls=`, an `ssl.SSLContext`",
            "config": "`limits=`, `keepalive=`, `server_hostname=`",
        },
    ),
    of_function("Channel.request", grpclib.client.Channel.request, parameters(Channel.request), {}),
    of_class("client.Stream", grpclib.client.Stream, ClientStream),
    of_class(
        "server.Server",
        grpclib.server.Server,
        Server,
        instead={
            "__aenter__": "a nursery: leaving it ends `server.serve`",
            "__aexit__": "a nursery: leaving it ends `server.serve`",
        },
    ),
    of_function(
        "server.Server",
        grpclib.server.Server.__init__,
        parameters(Server.__init__),
        {"handlers": "`services`, the first argument", "loop": _BACKEND, "config": "`limits=`, `keepalive=`"},
    ),
    of_function(
        "Server.start",
        grpclib.server.Server.start,
        {},
        {
            "host": "`open_tcp_listener(host, port)`",
            "port": "`open_tcp_listener(host, port)`",
            "path": "`open_unix_listener(path)`",
            "ssl": "`open_tcp_listener(…, tls=context)`",
            "family": "`host` says it",
            "flags": _LISTENER,
            "sock": "any `anyio.abc.Listener` can be served",
            "backlog": _LISTENER,
            "reuse_address": _LISTENER,
            "reuse_port": "`echo-grpc serve --workers`; any `anyio.abc.Listener` can be served",
        },
    ),
    of_class(
        "server.Stream",
        grpclib.server.Stream,
        ServerStream,
        instead={
            "__aenter__": "the library's own",
            "__aexit__": "the library's own",
        },
    ),
    Surface("events", defined_in(grpclib.events), {*_announced(), "listen"}),
    Surface("metadata", {"Deadline"}, {"Deadline"}),
    Surface(
        "utils",
        {"graceful_exit"},
        set(),
        None,
        {"graceful_exit": "`anyio.open_signal_receiver`, then `await server.drain(grace)`"},
    ),
    Surface(
        "health",
        classes_in("health/service.py") | classes_in("health/check.py"),
        set(),
        None,
        {
            "Health": "`echo.rpc.health.Health`; grpclib's own works on asyncio alone",
            "CheckBase": "`health.set(service, status)`",
            "ServiceCheck": "`health.set(service, status)`, from a task of yours that checks",
            "ServiceStatus": "`health.set(service, status)`",
        },
    ),
    Surface("reflection", {"service.ServerReflection"}, {"service.ServerReflection"}),
    of_function("testing.ChannelFor", grpclib.testing.ChannelFor.__init__, parameters(memory_channel), {}),
    Surface("testing", {"ChannelFor"}, set(), None, {"ChannelFor": "`echo.rpc.testing.memory_channel`"}),
    Surface(
        "config.Configuration(…)",
        _CONFIG,
        set(),
        None,
        {
            "_keepalive_time": "`Keepalive(time=…)`",
            "_keepalive_timeout": "`Keepalive(timeout=…)`",
            "_keepalive_permit_without_calls": "pings are sent with calls and without",
            "_http2_max_pings_without_data": "as many as are due",
            "_http2_min_sent_ping_interval_without_data": "`Keepalive(time=…)`",
            "http2_connection_window_size": "`Limits(connection_window=…)`",
            "http2_stream_window_size": "`Limits(stream_window=…)`",
            "ssl_target_name_override": "`open_channel(server_hostname=…)`",
        },
    ),
]

BETTERPROTO = [
    of_function("betterproto.ServiceStub", betterproto.ServiceStub.__init__, {*parameters(bind)}, {}),
    of_function("betterproto2.grpclib.ServiceStub", betterproto2.grpclib.ServiceStub.__init__, {*parameters(bind)}, {}),
    Surface(
        "betterproto.grpc.util.async_channel.AsyncChannel",
        public(AsyncChannel),
        set(),
        None,
        dict.fromkeys(public(AsyncChannel), "`anyio.create_memory_object_stream`; on asyncio it works as it is"),
    ),
]

SURFACES = {"grpcio": GRPCIO, "grpclib": GRPCLIB, "betterproto": BETTERPROTO}
