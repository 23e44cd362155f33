"""The worker's side of the channel: takes connections from the parent, and follows its messages.

A process is a worker if an environment variable names its end of a channel. If the parent dies, the channel closes.
That has the effect of `Retire` and `NoMoreConnections`: the worker drains, then ends.
"""

import logging
import os
import socket
import stat
from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping
from contextlib import suppress
from typing import Final

import trio

from echo.transport import AcceptedConnection
from echo.workers.channel import WorkerChannel
from echo.workers.messages import (
    FINAL_ANSWER,
    PART_SIZE,
    AnswerPart,
    Ask,
    Connection,
    Counts,
    Declined,
    FromParent,
    NoMoreConnections,
    Ping,
    Ready,
    Retire,
    Stop,
)

__all__ = ["CHANNEL", "Feed", "ParentLink"]

log = logging.getLogger(__name__)

CHANNEL: Final = "ECHO_WORKER_CHANNEL"
"""The environment variable that has the channel's file descriptor."""
FINAL_ANSWER_TIMEOUT: Final = 1.0  # Seconds.


class Feed:
    """The connections of one listener: a `echo.transport.ConnectionSource`."""

    def __init__(self, retire: Callable[[], None]) -> None:
        """``retire`` tells the parent that no more connections are wanted."""
        self._retire = retire
        self._put, self._got = trio.open_memory_channel[AcceptedConnection](0)

    def __aiter__(self) -> AsyncIterator[AcceptedConnection]:
        """The connections as they arrive; ends after the last one."""
        return self._got

    def retire(self) -> None:
        """Ask the parent to send no more; those already sent still arrive."""
        self._retire()

    async def put(self, accepted: AcceptedConnection) -> None:
        """Wait until the connection is taken from the feed; closes it if the feed is closed."""
        try:
            await self._put.send(accepted)
        except trio.BrokenResourceError:
            self._drop(accepted)
        except BaseException:
            self._drop(accepted)
            raise

    async def aclose(self) -> None:
        """Stop serving: connections that still arrive are closed."""
        self._got.close()

    def end(self) -> None:
        """Note that no more connections will arrive."""
        self._put.close()

    def _drop(self, accepted: AcceptedConnection) -> None:
        accepted.socket.close()
        accepted.on_close()


class ParentLink:
    """A worker's link to its parent.

    Args:
        end: The worker's end of the channel; closed when `run` ends.
        listeners: How many listeners the parent has.
        collect: Makes the answer when the parent asks, and the final answer.

    Attributes:
        others_serve: Whether other workers keep serving when this one stops.
        feeds: The connections of each listener.
    """

    def __init__(
        self, end: socket.socket, listeners: int = 1, collect: Callable[[], Awaitable[bytes]] | None = None
    ) -> None:
        self.others_serve = True  # Until the parent says `Stop`.
        self.feeds = [Feed(lambda number=number: self._decline(number)) for number in range(listeners)]  # type: ignore[misc]
        self._channel = WorkerChannel(end)
        self._collect = collect
        self._stopped = trio.Event()
        self._taken = self._ended = 0
        self._declined: list[int] = []
        self._question: int | None = None
        self._ready = False
        self._to_report = trio.Event()

    @staticmethod
    def inherited(environ: MutableMapping[str, str] = os.environ) -> socket.socket | None:
        """The worker's end of the channel, or None if this process is not a worker; removes the variable.

        Raises:
            ValueError: The variable does not name a socket.
        """
        text = environ.pop(CHANNEL, None)
        if text is None:
            return None
        try:
            number = int(text)
            if not stat.S_ISSOCK(os.fstat(number).st_mode):
                raise ValueError(number)
            end = socket.socket(fileno=number)
        except (OSError, ValueError):
            raise ValueError(f"{CHANNEL}: {text[:40]!r} is not a channel; only echo itself sets this") from None
        end.set_inheritable(False)
        end.setblocking(False)
        return end

    async def run(self) -> None:
        """Handle the parent's messages until it is gone. Cancel it when the worker has drained."""
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._report)
                try:
                    while True:
                        await self._handle(*await self._channel.receive())
                except trio.EndOfChannel:
                    log.warning("the parent is gone: draining")
                self._stopped.set()
                for feed in self.feeds:
                    feed.end()
                nursery.cancel_scope.cancel()
        finally:
            self._channel.close()

    def ready(self) -> None:
        """Tell the parent that this worker serves."""
        self._ready = True
        self._to_report.set()

    def request_stop(self) -> None:
        """Tell the parent that this worker wants to stop. It answers with `Retire`, and starts a successor."""
        for feed in self.feeds:
            feed.retire()

    async def send_final_answer(self) -> None:
        """Send the parent a final answer, unasked, once this worker has drained."""
        if self._collect is not None:
            with suppress(trio.BrokenResourceError), trio.move_on_after(FINAL_ANSWER_TIMEOUT):
                await self._answer(FINAL_ANSWER)

    async def wait_for_stop(self) -> None:
        """Wait until this worker must stop; `others_serve` then says whether other workers keep serving."""
        await self._stopped.wait()

    async def _handle(self, message: FromParent, connection: socket.socket | None) -> None:
        match message:
            case Connection(listener):
                self._taken += 1
                self._to_report.set()
                if connection is None:  # The process had no free descriptor for it after all.
                    self._ended += 1
                else:
                    await self.feeds[listener].put(AcceptedConnection(connection, self._note_close))
            case NoMoreConnections(listener):
                self.feeds[listener].end()
            case Stop():
                self.others_serve = False
                self._stopped.set()
            case Retire():
                self._stopped.set()
            case Ask(number):
                self._question = number
                self._to_report.set()
            case Ping():
                self._to_report.set()

    def _note_close(self) -> None:
        self._ended += 1
        self._to_report.set()

    def _decline(self, listener: int) -> None:
        self._declined.append(listener)
        self._to_report.set()

    async def _report(self) -> None:
        """Send reports whenever something has changed. Changes while the channel is full go into one report."""
        while True:
            await self._to_report.wait()
            self._to_report = trio.Event()
            try:
                if self._ready:
                    self._ready = False
                    await self._channel.send(Ready())
                await self._channel.send(Counts(self._taken, self._ended))
                while self._declined:
                    await self._channel.send(Declined(self._declined.pop(0)))
                if self._question is not None:
                    asked, self._question = self._question, None
                    await self._answer(asked)
            except trio.BrokenResourceError:
                return  # The receiving task notices as well.

    async def _answer(self, number: int) -> None:
        data = b""
        try:
            if self._collect is not None:
                data = await self._collect()
        except Exception:
            log.exception("could not make the answer that the parent asked for")
        for start in range(0, max(len(data), 1), PART_SIZE):
            end = start + PART_SIZE
            await self._channel.send(AnswerPart(number, data[start:end], end >= len(data)))
