"""Converts grpcio's call credentials to ours.

``grpc.metadata_call_credentials`` and the like return objects for grpcio's own transport. They contain a plugin, or
several if they are composite, which is called as that transport would: with the service's URL, the method, and a
callback for the metadata. Plugins may block, so they run in worker threads; they may call back from any thread, the
event loop's included.
"""

import inspect
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final, cast

import anyio
import grpc
from anyio import to_thread

from echo.rpc.call_credentials import CallCredentials
from echo.rpc.event_loop import EventLoop
from echo.wire import GRPCError, MetadataLike, Status

__all__ = ["to_call_credentials"]

_Callback = Callable[[MetadataLike | None, int, bytes | None], None]
_Plugin = Callable[[str, str, _Callback], None]

_FAILED: Final = "Getting metadata from plugin failed with error: "  # As in grpcio.


def to_call_credentials(credentials: object) -> CallCredentials:
    """Convert call credentials; calls get the same metadata as with ``grpc.aio``.

    Args:
        credentials: Created by ``grpc.metadata_call_credentials``, ``grpc.access_token_call_credentials`` or
            ``grpc.composite_call_credentials``. Our own call credentials are returned unchanged.

    Raises:
        grpc.aio.UsageError: They are something else.
    """
    if not isinstance(credentials, grpc.CallCredentials):
        if inspect.iscoroutinefunction(credentials) or inspect.iscoroutinefunction(type(credentials).__call__):
            return cast("CallCredentials", credentials)
        raise grpc.aio.UsageError(f"{credentials!r} is not supported as credentials, only grpc.CallCredentials are")
    plugins = list(_plugins(getattr(credentials, "_credentials", None)))

    async def ask_all(url: str, method: str) -> MetadataLike:
        metadata: list[tuple[str, str | bytes]] = []
        for plugin in plugins:
            metadata += await _ask(plugin, url, method)
        return metadata

    return ask_all


def _plugins(credentials: object) -> Iterator[_Plugin]:
    """The plugins in a credentials object of grpcio's transport."""
    plugin: _Plugin | None = getattr(credentials, "_metadata_plugin", None)
    several: Sequence[object] | None = getattr(credentials, "_call_credentialses", None)
    if plugin is not None:
        yield plugin
    elif several is not None:
        for one in several:
            yield from _plugins(one)
    else:
        raise grpc.aio.UsageError(f"{type(credentials).__name__} are not supported, only credentials with a plugin are")


async def _ask(plugin: _Plugin, url: str, method: str) -> Sequence[tuple[str, str | bytes]]:
    answered, loop = anyio.Event(), EventLoop()
    answers: list[tuple[Any, int, bytes | None]] = []

    def answer(metadata: MetadataLike | None, code: int, details: bytes | None) -> None:
        answers.append((metadata, code, details))
        loop.call_soon(answered.set)

    await to_thread.run_sync(plugin, url, method, answer, abandon_on_cancel=True)
    await answered.wait()
    metadata, code, details = answers[0]
    if code:
        raise GRPCError(Status.UNAVAILABLE, _FAILED + (details or b"").decode(errors="replace"))
    return [(key, value) for key, value in metadata or ()]
