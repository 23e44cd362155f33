"""Pods without sockets, each a real `Server`; the name that stands for them; and what a Deployment does with them."""

import errno
import random
from collections import Counter, deque
from collections.abc import Sequence
from functools import partial
from typing import Final, Literal, TypeAlias

import anyio
from anyio.abc import ByteStream, TaskGroup

from echo.rpc import Limits, Server
from echo.rpc.resolve import Endpoint, Resolve
from echo.transport import memory_stream_pair
from tests.support.services import UNARY, BytesCodec, BytesStream, Service

CODEC: Final = BytesCodec()
CALL: Final = 1.0  # Seconds that a call takes, so that drains find some running.
DNS: Final = 5.0  # Seconds for which an answer may be old: the ttl of CoreDNS' Kubernetes plugin.
START: Final = 10.0  # Seconds from the creation of a pod until it is ready.
PRE_STOP: Final = 5.0  # Seconds between leaving the name and SIGTERM, as the chart has it.
GRACE: Final = 10.0  # SHUTDOWN_GRACE.

Balance: TypeAlias = Literal["pick_first", "round_robin"]
"""The channels' option."""

Order: TypeAlias = Literal["shuffled", "same for all"]
"""The order of the addresses: shuffled for each look-up, or the same for all clients."""


class Pod:
    """One server at one address.

    Attributes:
        name: Its address.
        server: What answers there.
        clients: How many connections each client has here.
        calls: How many calls were served.
    """

    def __init__(self, name: str, tasks: TaskGroup, limits: Limits) -> None:
        self.name = name
        self.server = Server([Service(Call=(UNARY, self._call))], codec=CODEC, limits=limits)
        self.clients: Counter[int] = Counter()
        self.calls = 0
        self._tasks = tasks
        self._stopping = False

    async def dial(self, client: int) -> ByteStream:
        """A connection. Raises OSError if the pod takes no more."""
        await anyio.sleep(random.uniform(0.0005, 0.002))
        if self._stopping:
            raise OSError(errno.ECONNREFUSED, "refused")
        ours, theirs = memory_stream_pair(100)
        self._tasks.start_soon(self._serve, client, theirs)
        return ours

    async def stop(self) -> None:
        """What SIGTERM does."""
        self._stopping = True
        await self.server.drain(GRACE)

    async def _serve(self, client: int, stream: ByteStream) -> None:
        self.clients[client] += 1
        try:
            await self.server.serve_connection(stream)
        finally:
            self.clients[client] -= 1

    async def _call(self, stream: BytesStream) -> None:
        await stream.recv_message()
        await anyio.sleep(CALL)
        self.calls += 1
        await stream.send_message(b"")


class Name:
    """A headless service: a name that stands for the pods that are ready, as it was some seconds ago."""

    def __init__(self, order: Order) -> None:
        self._order = order
        self._answers: deque[tuple[float, tuple[Pod, ...]]] = deque()

    def stand_for(self, pods: Sequence[Pod]) -> None:
        """From now on it stands for these."""
        self._answers.append((anyio.current_time() + (DNS if self._answers else 0), tuple(pods)))

    def resolver(self, client: int) -> Resolve:
        """What a client's channel looks the name up by."""

        async def resolve() -> Sequence[Endpoint]:
            while len(self._answers) > 1 and self._answers[1][0] <= anyio.current_time():
                self._answers.popleft()
            pods = list(self._answers[0][1])
            if self._order == "shuffled":
                random.shuffle(pods)
            return [Endpoint(pod.name, "pods.test", partial(pod.dial, client)) for pod in pods]

        return resolve


class Deployment:
    """The pods that there are, and those that take their places.

    Attributes:
        name: What clients call.
        pods: Those that are ready, the oldest first.
    """

    def __init__(self, order: Order, tasks: TaskGroup, limits: Limits) -> None:
        self.name = Name(order)
        self.pods: list[Pod] = []
        self._tasks = tasks
        self._limits = limits
        self._made = 0

    def add(self, count: int) -> list[Pod]:
        """So many more, ready at once."""
        new = []
        for _ in range(count):
            self._made += 1
            new.append(Pod(f"10.0.{self._made // 250}.{self._made % 250 + 1}", self._tasks, self._limits))
        self.pods += new
        self.name.stand_for(self.pods)
        return new

    async def restart(self) -> None:
        """Replace one pod after the other: the new one is ready before the old one is told to stop."""
        for old in list(self.pods):
            await anyio.sleep(START)
            self.add(1)
            self.pods.remove(old)
            self.name.stand_for(self.pods)
            await anyio.sleep(PRE_STOP)
            await old.stop()
