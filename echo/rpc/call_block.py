"""A call's life, from the start of its ``async with`` block to the end: interceptors, opening, and how it ends.

`echo.rpc.client_stream` adds what its caller sends and receives in between.
"""

from collections.abc import Awaitable
from contextlib import AsyncExitStack
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self, cast

import anyio
from grpclib.exceptions import ProtocolError, StreamTerminatedError
from multidict import MultiDict

from echo.rpc.call_notes import CallRecord
from echo.rpc.codec import decode_details
from echo.rpc.method import Method
from echo.rpc.open_attempt import begin_attempt, open_attempt
from echo.rpc.opening import open_call
from echo.rpc.retry import MadeCall, RetriedCall
from echo.rpc.tracing import MadeCallTrace
from echo.transport import ClientCall, Peer
from echo.wire import GRPCError, Metadata, Status, Trailers

if TYPE_CHECKING:
    from echo.rpc.client_stream import ClientStream

LEFT: Final = "the caller left the call before its end"


class CallBlock:
    """One call, from the caller's side, without its messages."""

    def __init__(self, method: Method, metadata: Metadata | None, deadline: float) -> None:
        self._method = method
        self._metadata = metadata
        self._deadline = deadline
        self._events = method.channel.events
        self._call: MadeCall | None = None  # Once the request was sent.
        self._opening = False  # Whether a task is opening the call.
        self._opened_or_not: anyio.Event | None = None  # Set when it has done so or failed, if another task waits.
        self._left: bool | None = None  # Whether the block was left; None before it was entered.
        self._half_closed = False
        self._only_received = False  # Whether the only message of the response was received.
        self._reported = False  # Whether the caller knows how the call ended.
        self._trailing_metadata: Metadata | None = None
        self._trace: MadeCallTrace | None = None
        self._record: CallRecord | None = None
        self._contexts: AsyncExitStack | None = None  # The interceptors' contexts.

    @property
    def path(self) -> str:
        """The method called: ``/package.Service/Method``."""
        return self._method.path

    @property
    def metadata(self) -> Metadata:
        """The request's metadata; may be changed until the request is sent."""
        if self._metadata is None:
            self._metadata = MultiDict()
        return self._metadata

    @property
    def trailing_metadata(self) -> Metadata | None:
        """The metadata in the trailers, once received."""
        if self._trailing_metadata is not None and not self._trailing_metadata:
            self._trailing_metadata = MultiDict()
        return self._trailing_metadata

    @property
    def status_details(self) -> bytes | None:
        """The status details, a ``google.rpc.Status``, as received; None if there were none, or before the end."""
        outcome = None if self._call is None else self._call.outcome
        return None if outcome is None else outcome.details

    @property
    def ended(self) -> bool:
        """Whether the call has ended. Its last messages may not have been received yet."""
        return self._call is not None and self._call.outcome is not None

    @property
    def peer(self) -> Peer | None:
        """The other end of the connection, once the request was sent."""
        return None if self._call is None else self._call.current.session.peer

    async def __aenter__(self) -> Self:
        if self._left is not None:
            raise ProtocolError("a call is made once: prepare another by channel.request(...)")
        self._left = False
        interceptors = self._method.channel.interceptors
        if interceptors:
            stream = cast("ClientStream[Any, Any]", self)  # There is no other subclass.
            async with AsyncExitStack() as contexts:
                for interceptor in interceptors:
                    await contexts.enter_async_context(interceptor(stream))
                self._contexts = contexts.pop_all()
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> bool | None:
        self._left = True
        if self._contexts is None:
            if exc is None and self._reported:
                self._close()
            else:
                await self._leave(exc)
            return None
        try:
            await self._leave(exc)
        except BaseException as error:
            if not await self._contexts.__aexit__(type(error), error, error.__traceback__):
                raise
            return True
        return await self._contexts.__aexit__(exc_type, exc, traceback)

    # The beginning

    def _open(self) -> ClientCall | Awaitable[MadeCall]:
        """Open the call, or return an awaitable that opens it. Its head is sent together with what follows."""
        if self._opening:
            return self._opened_by_other()
        if self._left is None:
            raise ProtocolError("a call begins with its block: 'async with channel.request(...) as stream'")
        if self._left:  # A task that survives the block must not begin a call that nobody would end.
            raise GRPCError(Status.CANCELLED, LEFT)
        method, channel = self._method, self._method.channel
        if channel.tracing is not None and self._trace is None:
            streaming = not (method.sends_one and method.receives_one)
            self._trace = channel.tracing.begin(method.path, channel.target, self.metadata, streaming=streaming)
        if not method.plain or channel.events.send_request:
            return self._opened(self._open_later())
        call = begin_attempt(
            channel.balancer, method.request(self._metadata), self._deadline, wait_for_ready=method.wait_for_ready
        )
        if not isinstance(call, ClientCall):
            return self._opened(call)
        self._call = call
        return call

    async def _open_later(self) -> MadeCall:
        call, self._record = await open_call(self._method, self._metadata, self._deadline)
        return call

    async def _opened(self, opening: Awaitable[MadeCall]) -> MadeCall:
        self._opening = True
        try:
            self._call = call = await opening
        finally:
            self._opening = False
            if self._opened_or_not is not None:
                self._opened_or_not.set()
                self._opened_or_not = None
        if self._left:
            self._close()
        return call

    async def _opened_by_other(self) -> MadeCall:
        """Wait for another task to open the call; open it if that task could not."""
        if self._opened_or_not is None:
            self._opened_or_not = anyio.Event()
        await self._opened_or_not.wait()
        if self._call is not None:
            return self._call
        opened = self._open()
        return opened if isinstance(opened, ClientCall) else await opened

    def _sent(self) -> MadeCall:
        """The call, once it was opened."""
        if self._call is None:
            raise ProtocolError("the request was not sent yet: send a message, or await send_request()")
        return self._call

    def _retried(self) -> MadeCall:
        """The call, ready to be sent again if the server has not processed it."""
        call = self._sent()
        if isinstance(call, ClientCall) and call.kept is not None:
            method = self._method
            again = partial(
                open_attempt, method.channel.balancer, call.request, call.deadline, wait_for_ready=method.wait_for_ready
            )
            self._call = call = RetriedCall(again, call)
        return call

    # The end

    async def _report(self, trailers: Trailers | None) -> None:
        """Set the trailing metadata, and raise unless the call ended with OK. Does nothing if it has not ended."""
        if trailers is None:
            return
        details = None
        if trailers.details is not None:
            details = decode_details(self._method.channel.details_codec, trailers)
        if not self._reported:
            self._reported = True
            received = trailers.metadata
            if self._events.recv_trailing_metadata:
                event = await self._events.recv_trailing_metadata.dispatch(
                    metadata=received or MultiDict(),
                    status=trailers.status,
                    status_message=trailers.message,
                    status_details=details,
                )
                received = event.metadata
            self._trailing_metadata = received
        if trailers.status is not Status.OK:
            raise GRPCError(trailers.status, trailers.message, details)

    async def _leave(self, exc: BaseException | None) -> None:
        """End the call when its block is left."""
        call, trace = self._call, self._trace
        if call is None:
            if trace is not None:
                how = exc if isinstance(exc, GRPCError) else GRPCError(Status.CANCELLED, LEFT)
                trace.over(how.status, how.message, 0, 0)
            return
        try:
            if exc is None and self._half_closed and not self._only_received and self._method.receives_one:
                # The status matters even if the caller did not receive the message; receiving it brings the status.
                call = self._retried()
                await call.receive_response()
                while await call.current.receive_message() is not None:
                    pass
            # Where the server ended the call while we were sending, its status says more than that.
            if (exc is None or isinstance(exc, StreamTerminatedError)) and not self._reported:
                await self._report(call.outcome)
        finally:
            self._close()

    def _close(self) -> None:
        """Reset the call if it is not over, and report its end to the trace and the record."""
        call, trace = self._sent(), self._trace
        if call.outcome is not None:
            call.reset()
        else:
            # Otherwise a task that waits for the call would wait forever.
            if trace is not None:
                trace.cancelled(LEFT)
            call.cancel(Trailers(Status.CANCELLED, LEFT))
        if trace is not None or self._record is not None:
            self._report_end(call)

    def _report_end(self, call: MadeCall) -> None:
        ended, current = call.outcome, call.current
        assert ended is not None  # If only just now.
        if self._trace is not None:
            self._trace.over(ended.status, ended.message, current.unsent.messages, current.messages.messages)
        if self._record is not None:
            self._record.over(ended.status, current.session.backend.now())
