"""A worker's side: it takes the connections that its parent passes on, and does what that one says.

The process is a worker if an environment variable names its end of a channel. A parent that dies closes the channel,
which means what `Retire` and `End` do: what is open is finished, then the worker ends.
"""

import logging
import os
import socket
import stat
from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping
from contextlib import suppress
from typing import Final

import trio

from echo.transport import Handed
from echo.workers.channel import WorkerChannel
from echo.workers.messages import (
    LAST_WORD,
    PART,
    Ask,
    Connection,
    Counts,
    End,
    FromParent,
    Leaving,
    Part,
    Ping,
    Ready,
    Retire,
    Stop,
)

__all__ = ["CHANNEL", "Feed", "Membership"]

log = logging.getLogger(__name__)

CHANNEL: Final = "ECHO_WORKER_CHANNEL"
"""The environment variable that has the number of the channel's descriptor."""
LAST_WORDS: Final = 1.0  # Seconds for a worker's last words.


class Feed:
    """The connections of one listener: a `echo.transport.Source`."""

    def __init__(self, retire: Callable[[], None]) -> None:
        """``retire`` tells the parent that no more are wanted."""
        self._retire = retire
        self._put, self._got = trio.open_memory_channel[Handed](0)

    def __aiter__(self) -> AsyncIterator[Handed]:
        """The connections as they come, to the last one."""
        return self._got

    def retire(self) -> None:
        """Ask for no more; those that are on their way still come."""
        self._retire()

    async def put(self, handed: Handed) -> None:
        """Give a connection to whoever serves it; closes it if nobody does any more."""
        try:
            await self._put.send(handed)
        except trio.BrokenResourceError:
            self._drop(handed)
        except BaseException:
            self._drop(handed)
            raise

    async def aclose(self) -> None:
        """Nobody serves them any more: whatever still comes is closed."""
        self._got.close()

    def end(self) -> None:
        """No more come."""
        self._put.close()

    def _drop(self, handed: Handed) -> None:
        handed.socket.close()
        handed.over()


class Membership:
    """One worker's place among those of its parent.

    Args:
        end: The worker's end of the channel; closed when `run` ends.
        listeners: How many listeners the parent has.
        collect: What to answer when the parent asks, and to say last.

    Attributes:
        retiring: Whether others go on serving when this one stops.
        feeds: The connections of each listener.
    """

    def __init__(
        self, end: socket.socket, listeners: int = 1, collect: Callable[[], Awaitable[bytes]] | None = None
    ) -> None:
        self.retiring = True  # As long as nobody has said otherwise, others go on.
        self.feeds = [Feed(lambda number=number: self._leave(number)) for number in range(listeners)]  # type: ignore[misc]
        self._channel = WorkerChannel(end)
        self._collect = collect
        self._stopped = trio.Event()
        self._taken = self._ended = 0
        self._leaving: list[int] = []
        self._asked: int | None = None
        self._ready = False
        self._news = trio.Event()

    @staticmethod
    def inherited(environ: MutableMapping[str, str] = os.environ) -> socket.socket | None:
        """The worker's end of the channel, if the process was started as a worker; takes the variable away.

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
        """Take connections and messages until the parent is gone; to be cancelled when all is over."""
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._report)
                try:
                    while True:
                        await self._take(*await self._channel.receive())
                except trio.EndOfChannel:
                    log.warning("the parent is gone: draining")
                self._stopped.set()
                for feed in self.feeds:
                    feed.end()
                nursery.cancel_scope.cancel()
        finally:
            self._channel.close()

    def ready(self) -> None:
        """Tell the parent that connections are served."""
        self._ready = True
        self._news.set()

    def leave(self) -> None:
        """Tell the parent that this worker wants to stop. It then says `Retire`, having found others for what comes."""
        for feed in self.feeds:
            feed.retire()

    async def say_last(self) -> None:
        """Tell the parent what there is to collect, unasked: nothing happens here any more."""
        if self._collect is not None:
            with suppress(trio.BrokenResourceError), trio.move_on_after(LAST_WORDS):
                await self._answer(LAST_WORD)

    async def stop(self) -> None:
        """Wait until this worker shall stop; `retiring` then says whether others go on."""
        await self._stopped.wait()

    async def _take(self, message: FromParent, beside: socket.socket | None) -> None:
        match message:
            case Connection(listener):
                self._taken += 1
                self._news.set()
                if beside is None:  # No descriptor was to be had for it after all.
                    self._ended += 1
                else:
                    await self.feeds[listener].put(Handed(beside, self._note_end))
            case End(listener):
                self.feeds[listener].end()
            case Stop():
                self.retiring = False
                self._stopped.set()
            case Retire():
                self._stopped.set()
            case Ask(number):
                self._asked = number
                self._news.set()
            case Ping():
                self._news.set()

    def _note_end(self) -> None:
        self._ended += 1
        self._news.set()

    def _leave(self, listener: int) -> None:
        self._leaving.append(listener)
        self._news.set()

    async def _report(self) -> None:
        """Say what there is to say, whenever there is room; what happens meanwhile is said at once afterwards."""
        while True:
            await self._news.wait()
            self._news = trio.Event()
            try:
                if self._ready:
                    self._ready = False
                    await self._channel.send(Ready())
                await self._channel.send(Counts(self._taken, self._ended))
                while self._leaving:
                    await self._channel.send(Leaving(self._leaving.pop(0)))
                if self._asked is not None:
                    asked, self._asked = self._asked, None
                    await self._answer(asked)
            except trio.BrokenResourceError:
                return  # The other task finds out, too.

    async def _answer(self, number: int) -> None:
        data = b""
        try:
            if self._collect is not None:
                data = await self._collect()
        except Exception:
            log.exception("cannot tell the parent what was asked for")
        for start in range(0, max(len(data), 1), PART):
            end = start + PART
            await self._channel.send(Part(number, data[start:end], end >= len(data)))
