"""The tasks that run a connection's handlers.

A task serves calls one after another as long as their handlers do not wait for anything, so calls that arrive together
share a task and a cancel scope. Before a task runs a handler while more calls are due, it starts another task, which
serves them if the handler waits: it starts a task for each of them. So no call waits for another call's handler.

A handler must not be affected by those that ran before it in the same task. So a task ends once a handler has changed
its context variables, or once its cancel scope was cancelled or given a deadline. The task that was started also sets
the deadlines, as only handlers that wait need them.
"""

import logging
import math
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from contextvars import Context, copy_context

import anyio

from echo.printable import printable
from echo.transport.backend import Backend, Nursery
from echo.transport.server_call import ServerCall
from echo.wire import Status, Trailers

log = logging.getLogger(__name__)

Handle = Callable[[ServerCall], Awaitable[None]]


class Handlers:
    """Runs the handlers of one connection's calls.

    Args:
        backend: The event loop's primitives.
        most: How many handlers may run at once; other calls wait for their turn.
        handle: Serves a call.
        over: Called when a handler has returned, and for calls that were over before their handlers began.
        enter: Called in a call's task before its handler starts; it may set context variables.
        spoiled: Called when the nursery will fail in the end: a handler has left one of its own open.

    Attributes:
        running: How many handlers have begun and not returned, including those whose call is over.
        nursery: Runs the handlers. Set it before the first call arrives.
    """

    nursery: Nursery

    def __init__(
        self,
        backend: Backend,
        most: int,
        handle: Handle,
        over: Callable[[ServerCall], None],
        enter: Callable[[ServerCall], object] | None = None,
        spoiled: Callable[[], None] = lambda: None,
    ) -> None:
        self._backend = backend
        self._most = most
        self._handle = handle
        self._over = over
        self._enter = enter
        self._spoiled = spoiled
        self._context = copy_context()  # The context in which every handler starts.
        self._starting = 0  # Tasks that were started and have not run yet.
        self.running: int = 0
        self._due: OrderedDict[int, ServerCall] = OrderedDict()  # Calls whose handlers have not begun.
        self._undated: list[ServerCall] = []  # Calls whose deadlines the started task will set.

    @property
    def idle(self) -> bool:
        """Whether no handler is running or due."""
        return not self.running and not self._due

    def add(self, call: ServerCall) -> None:
        """Run the call's handler, once fewer than ``most`` are running."""
        self._due[call.id] = call
        if not self._starting:
            self._start()

    def discard(self, call: ServerCall) -> None:
        """Do not run the handler of a call that is over, unless it has begun."""
        if self._due.pop(call.id, None) is not None:
            self._over(call)  # The task that was started for it will find nothing to do.

    def discard_given_up(self) -> None:
        """Do not run the handlers of calls that were given up; their clients get the verdicts."""
        for call in [call for call in self._due.values() if call.verdict is not None]:
            self.discard(call)

    def let_go(self) -> None:
        """Drop what refers to the connection, which is over. All handlers have returned."""
        del self._over, self._spoiled, self._enter

    def _start(self, *, most: int = 1, after_handler: bool = False) -> None:
        """Start tasks for the calls that are due, unless some are starting already."""
        if self._due and not self._starting and self.running < self._most:
            self._starting = min(len(self._due), self._most - self.running, most)
            for _ in range(self._starting):
                self._context.run(self.nursery.start_soon, self._serve, after_handler)

    async def _serve(self, after_handler: bool) -> None:
        """Serve the due calls that no other task has begun.

        Args:
            after_handler: Whether a handler was about to run when this task was started. If calls are still due, that
                handler waits. The others may wait, too, so each call gets a task: one after the other is late.
        """
        self._starting -= 1
        if self._undated:
            self._set_deadlines()
        if not self._due:
            return
        # Every idle stream keeps this frame, so it has few variables.
        scope = self._backend.scope()
        context: Context | None = self._context  # What the handler that runs began with; None to run no more.
        call: ServerCall | None = None
        try:
            with scope:
                while self._due:
                    call = self._due.popitem(last=False)[1]
                    self.running += 1
                    if self._due and not self._starting:
                        self._start(most=len(self._due) if after_handler else 1, after_handler=True)
                    call.scope = scope
                    if call.deadline != math.inf:
                        self._undated.append(call)
                        if not self._starting:
                            self._set_deadlines()
                    enter = self._enter  # Python calls a function in a variable faster than one in an attribute.
                    if enter is not None:
                        enter(call)
                        context = copy_context()
                    try:
                        await self._handle(call)
                    except Exception:
                        # `handle` deals with the errors of handlers. This one is ours, and must not end other calls.
                        log.exception("%s could not be answered", printable(call.request.path))
                        call.abort(Trailers(Status.INTERNAL, "internal server error"))
                    if call.verdict is not None or (call.deadline != math.inf and scope.deadline != math.inf):
                        context = None
                    self._end(call)
                    if self._backend.forget_cancel is not None and await self._backend.forget_cancel():
                        break
                    try:
                        if copy_context() != context:
                            break
                    except Exception:  # noqa: BLE001 - Variables are compared by their values, which may refuse that.
                        break
            if call is not None and call.scope is not None and call.verdict is None and scope.cancelled_caught:
                call.give_up(Trailers(Status.DEADLINE_EXCEEDED, "the deadline passed"), "deadline")
        except Exception:
            # A handler has left a cancel scope or a nursery open, so ours could not be closed in its turn.
            assert call is not None
            what = "%s, or a method before it in the same task, has left a cancel scope or a nursery open"
            log.exception(what, printable(call.request.path))
            if call.scope is not None:
                call.abort(Trailers(Status.INTERNAL, "internal server error"))
                self._end(call)
            if self._backend.abandon_nurseries():  # Then this task can only fail: not before the others are done.
                self._start()
                self._spoiled()
                await anyio.sleep_forever()
        finally:
            if call is not None and call.scope is not None:
                self._end(call)
            self._start()

    def _set_deadlines(self) -> None:
        """Set the deadlines of calls whose handlers are waiting, or may wait."""
        for call in self._undated:
            if call.scope is not None:
                call.scope.deadline = call.deadline
        self._undated.clear()

    def _end(self, call: ServerCall) -> None:
        call.scope = None  # The next call may use the same one.
        self.running -= 1
        self._over(call)
