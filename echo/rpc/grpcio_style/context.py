"""The context that a servicer's method receives: ``grpc.aio.ServicerContext`` over our stream."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any, Final, NoReturn

import grpc

from echo.rpc.grpcio_style.call_threads import CallOverError, CallThreads
from echo.rpc.grpcio_style.conversion import (
    DETAILS,
    Metadatum,
    call_back,
    to_encoding,
    to_invocation,
    to_pairs,
    to_status,
)
from echo.rpc.server_stream import ServerStream
from echo.wire import GRPCError, Status, encode_metadata

ABORTED: Final = "the call was aborted"


class Context(grpc.aio.ServicerContext):  # type: ignore[misc]  # grpcio ships no types.
    """One call."""

    def __init__(self, stream: ServerStream[Any, Any]) -> None:
        self._stream = stream
        self._code: grpc.StatusCode | int | None = None
        self._details = ""
        self._trailing: Sequence[tuple[str, str | bytes]] = ()
        self._aborted: tuple[Any, str, Sequence[tuple[str, str | bytes]]] | None = (
            None  # The same three, then for good.
        )
        self._callbacks: list[Callable[[Any], object]] = []
        self._over = False
        self._cancelled = False

    async def read(self) -> Any:
        """The next request; ``grpc.aio.EOF`` after the last.

        Raises:
            grpc.aio.AbortError: The call was aborted.
        """
        self._check()
        request = await self._stream.recv_message()
        return grpc.aio.EOF if request is None else request

    async def write(self, message: Any) -> None:
        """Send a reply; waits while the client reads more slowly than we send.

        Raises:
            grpc.aio.AbortError: The call was aborted, or a plain function has cancelled its call.
        """
        self._check()
        await self._stream.send_message(message)

    async def send_initial_metadata(self, initial_metadata: Iterable[tuple[str, str | bytes]]) -> None:
        """Send the response's head now, with this metadata.

        Raises:
            grpc.aio.AbortError: The call was aborted.
        """
        self._check()
        await self._stream.send_initial_metadata(metadata=to_pairs(initial_metadata))

    async def abort(
        self,
        code: grpc.StatusCode,
        details: str = "",
        trailing_metadata: Iterable[tuple[str, str | bytes]] = (),
    ) -> NoReturn:
        """End the call with this status; raises ``grpc.aio.AbortError``, which the method should let propagate."""
        self.set_abort(code, details, trailing_metadata)

    def set_abort(
        self, code: grpc.StatusCode, details: str, trailing_metadata: Iterable[tuple[str, str | bytes]]
    ) -> NoReturn:
        """Like `abort`, which is a coroutine function only because grpcio's is."""
        if self._aborted is not None:
            raise grpc.aio.UsageError("the call was already aborted")
        if to_status(code) is Status.OK:
            raise grpc.aio.UsageError("abort() ends a call with an error, and OK is not an error")
        self._code, self._details = code, details
        if trailing_metadata:
            self._trailing = to_pairs(trailing_metadata)
        self._aborted = code, details, self._trailing
        raise grpc.aio.AbortError(ABORTED)

    def _check(self) -> None:
        if self._aborted is not None:
            raise grpc.aio.AbortError(ABORTED)
        if self._cancelled:
            raise grpc.aio.AbortError("the call was cancelled")

    async def abort_with_status(self, status: grpc.Status) -> NoReturn:
        """See `abort`."""
        self.set_abort(status.code, status.details, status.trailing_metadata or ())

    def set_trailing_metadata(self, trailing_metadata: Iterable[tuple[str, str | bytes]]) -> None:
        """Set the metadata of the trailers."""
        self._trailing = to_pairs(trailing_metadata)

    def invocation_metadata(self) -> tuple[Metadatum, ...]:
        """The request's metadata."""
        return to_invocation(self._stream.metadata)

    def set_code(self, code: grpc.StatusCode) -> None:
        """End the call with this status once the method returns."""
        self._code = code

    def set_details(self, details: str) -> None:
        """Set the status message for the end of the call."""
        self._details = details

    def set_compression(self, compression: grpc.Compression) -> None:
        """Compress replies this way; call it before the first one.

        Raises:
            grpc.aio.UsageError: It is neither gzip nor none.
        """
        self._stream.compress(to_encoding(compression))

    def disable_next_message_compression(self) -> None:
        """Do nothing: each message says whether it is compressed, so compressing it is never wrong."""

    def peer(self) -> str:
        """The client's address in grpcio's form, such as ``ipv4:127.0.0.1:5000``."""
        address, text = self._stream.peer.addr(), str(self._stream.peer)
        if isinstance(address, tuple):
            return f"ipv6:{text}" if ":" in address[0] else f"ipv4:{text}"
        return f"unix:{text}" if address is not None else text

    def peer_identities(self) -> Iterable[bytes] | None:
        """The names in the client's certificate; None without one."""
        return [value for values in self.auth_context().values() for value in values] or None

    def peer_identity_key(self) -> str | None:
        """The key under which `auth_context` has them."""
        return next(iter(self.auth_context()), None)

    def auth_context(self) -> Mapping[str, Iterable[bytes]]:
        """The names in the client's certificate; empty without one."""
        certificate = self._stream.peer.cert() or {}
        alternatives = [value.encode() for _, value in certificate.get("subjectAltName", ())]
        common = [
            value.encode() for names in certificate.get("subject", ()) for key, value in names if key == "commonName"
        ]
        found = {"x509_subject_alternative_name": alternatives, "x509_common_name": common}
        return {key: values for key, values in found.items() if values}

    def time_remaining(self) -> float | None:  # grpcio says float, and gives None.
        """Seconds until the deadline, at least zero; None without one."""
        deadline = self._stream.deadline
        return None if deadline is None else deadline.time_remaining()

    def trailing_metadata(self) -> grpc.aio.Metadata:
        """The metadata that was set for the trailers."""
        return grpc.aio.Metadata(*self._trailing)

    def code(self) -> grpc.StatusCode | int | None:
        """The status that was set, or None."""
        return self._code

    def details(self) -> str:
        """The status message that was set."""
        return self._details

    def add_done_callback(self, callback: Callable[[Any], object]) -> None:
        """Call the function with this context when the call is over. What it raises is logged."""
        self._callbacks.append(callback)

    def cancelled(self) -> bool:
        """Whether the call was cut short: by its client, its deadline or the server's shutdown."""
        return self._cancelled

    def done(self) -> bool:
        """Whether the call is over."""
        return self._over

    # For `BlockingContext`

    async def cancel(self) -> bool:
        """End the call with CANCELLED; False if it is over."""
        if self._over or self._stream.ended:
            return False
        self._cancelled = True
        await self._stream.cancel()
        return True

    # For `Servicer`

    @property
    def failed(self) -> bool:
        """Whether a status other than OK was set."""
        return self._aborted is not None or (self._code is not None and to_status(self._code) is not Status.OK)

    async def end(self) -> None:
        """End the call with the status that was set, OK by default, unless it was cancelled.

        Raises:
            GRPCError: It is another one than OK; the interceptors are to see it.
        """
        if self._cancelled:
            return
        code, message, trailing = self._aborted or (self._code, self._details, self._trailing)
        details, metadata = dict(trailing).get(DETAILS), _without_details(trailing)
        status = Status.OK if code is None else to_status(code)
        if status is not Status.OK:
            self._stream.trailing_metadata.extend(metadata)
            raise GRPCError(status, message or None, details)
        await self._stream.send_trailing_metadata(
            status_message=message or None, status_details=details, metadata=metadata
        )

    def fail(self) -> None:
        """Note that the method has failed; the metadata it has set for the trailers are sent nevertheless."""
        with suppress(TypeError, ValueError):  # They are invalid: the method's own error matters more.
            trailing = _without_details(self._trailing)
            encode_metadata(trailing)
            self._stream.trailing_metadata.extend(trailing)

    def finish(self, *, cancelled: bool) -> None:
        """Note that the method has returned or was cancelled."""
        self._over, self._cancelled = True, cancelled or self._cancelled
        callbacks, self._callbacks = self._callbacks, []
        for callback in callbacks:
            call_back(callback, self)


def _without_details(trailing: Sequence[tuple[str, str | bytes]]) -> Sequence[tuple[str, str | bytes]]:
    return [pair for pair in trailing if pair[0] != DETAILS]


class BlockingContext:
    """The context of a plain function, for use in threads. Its methods block."""

    def __init__(self, context: Context, threads: CallThreads) -> None:
        self._context = context
        self._threads = threads

    def __getattr__(self, name: str) -> Any:
        """The context's own attribute, for everything that does not wait."""
        return getattr(self._context, name)

    def send_initial_metadata(self, initial_metadata: Iterable[tuple[str, str | bytes]]) -> None:
        """See `Context.send_initial_metadata`."""
        self._threads.run(self._context.send_initial_metadata, initial_metadata)

    def abort(
        self,
        code: grpc.StatusCode,
        details: str = "",
        trailing_metadata: Iterable[tuple[str, str | bytes]] = (),
    ) -> NoReturn:
        """See `Context.abort`."""
        self._context.set_abort(code, details, trailing_metadata)

    def abort_with_status(self, status: grpc.Status) -> NoReturn:
        """See `Context.abort_with_status`."""
        self._context.set_abort(status.code, status.details, status.trailing_metadata or ())

    def cancel(self) -> bool:
        """See `Context.cancel`. The method continues, as a thread cannot be cancelled, but what it sends is dropped."""
        try:
            return self._threads.run(self._context.cancel)
        except CallOverError:
            return False

    def is_active(self) -> bool:
        """Whether the call is not over."""
        return not self._context.done()

    def add_callback(self, callback: Callable[[], object]) -> bool:
        """Call the function when the call is over; returns False if it already is."""
        if self._context.done():
            return False
        self._context.add_done_callback(lambda _: callback())
        return True
