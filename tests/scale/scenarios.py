"""What happens to the pods: a start, a rolling restart, twice as many of them; and how the load is spread meanwhile."""

import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Final

import trio
import trio.testing

from echo.rpc import GRPCError, Limits
from echo.rpc.channels import open_channel_to
from echo.transport import open_background
from tests.scale.pods import CODEC, Balance, Deployment, Order, Pod
from tests.scale.spread import Spread, shares, spread
from tests.support.services import unary

MINUTE: Final = 60.0
SETTLED: Final = 5 * MINUTE  # From a change until it is first looked at.
SHARE: Final = 0.9  # New pods have their share once they have this much of it, together.
START: Final = "5 min after the start"
RESTARTED: Final = "5 min after the restart"
SCALED: Final = "5 min after scaling up"
LATER: Final = "later"


@dataclass(frozen=True)
class Way:
    """How clients find pods and choose among them.

    Attributes:
        balance: The channels' option.
        order: Of the addresses.
        age: The servers' `max_connection_age` in seconds; None for none.
    """

    balance: Balance
    order: Order
    age: float | None


@dataclass(frozen=True)
class Clients:
    """How many there are, and how many seconds it is from a client's call to its next, about."""

    count: int
    every: float


@dataclass(frozen=True)
class Size:
    """How much of everything.

    Attributes:
        pods: How many there are; before they are scaled up, half as many.
        clients: By how they choose.
        wait: Seconds after which the outcome is looked at again.
    """

    pods: int
    clients: dict[Balance, Clients]
    wait: float


@dataclass
class Seen:
    """What was seen of one scenario.

    Attributes:
        moments: The spread at some moments, by their names.
        series: The spread minute by minute.
        share_after: Seconds until the new pods together had nine tenths of their share; None if they never did.
        calls: How many were made.
        lost: What became of those that failed.
    """

    moments: dict[str, Spread] = field(default_factory=dict)
    series: list[Spread] = field(default_factory=list)
    share_after: float | None = None
    calls: int = 0
    lost: list[str] = field(default_factory=list)


class Story:
    """Pods, the clients that call them, and what is seen."""

    def __init__(self, deployment: Deployment) -> None:
        self.deployment = deployment
        self.seen = Seen()
        self._began = trio.current_time()

    def now(self) -> Spread:
        """How it is."""
        return spread(trio.current_time() - self._began, self.deployment.pods)

    def look(self, moment: str) -> None:
        """Take down how it is, under a name."""
        self.seen.moments[moment] = self.now()

    async def watch(self) -> None:
        """Take down how it is, minute by minute."""
        while True:
            await trio.sleep(MINUTE)
            self.seen.series.append(self.now())

    async def call(self, client: int, balance: Balance, every: float) -> None:
        """A client's calls, by a channel of its own, until cancelled."""
        resolve = self.deployment.name.resolver(client)
        async with open_channel_to(resolve, "pods.test", balance=balance, codec=CODEC) as channel:
            await trio.sleep(random.uniform(0, every))
            while True:
                self.seen.calls += 1
                try:
                    await unary(channel, "Call", timeout=MINUTE)
                except GRPCError as error:
                    self.seen.lost.append(f"{error.status.name} {error.message}")
                await trio.sleep(random.uniform(0.5, 1.5) * every)

    async def watch_share(self, new: list[Pod]) -> None:
        """Find out when new pods have their share."""
        began = trio.current_time()
        fair = len(new) / len(self.deployment.pods)
        while sum(shares(new, self.deployment.pods)) < SHARE * fair:  # noqa: ASYNC110 - no event tells.
            await trio.sleep(10)
        self.seen.share_after = trio.current_time() - began


@asynccontextmanager
async def begin(way: Way, size: Size, pods: int) -> AsyncIterator[Story]:
    """Some pods, and clients that have been calling them for some minutes."""
    limits = Limits() if way.age is None else Limits(max_connection_age=way.age)
    async with open_background() as serving, trio.open_nursery() as calling:
        story = Story(Deployment(way.order, serving, limits))
        story.deployment.add(pods)
        calling.start_soon(story.watch)
        clients = size.clients[way.balance]
        for client in range(clients.count):
            calling.start_soon(story.call, client, way.balance, clients.every)
        await trio.sleep(SETTLED)
        story.look(START)
        yield story
        calling.cancel_scope.cancel()


async def restart(way: Way, size: Size) -> Seen:
    """All pods are replaced, one after the other."""
    async with begin(way, size, size.pods) as story:
        await story.deployment.restart()
        await trio.sleep(SETTLED)
        story.look(RESTARTED)
        await trio.sleep(size.wait)
        story.look(LATER)
    return story.seen


async def scale_up(way: Way, size: Size) -> Seen:
    """There are twice as many pods, from one moment to the next."""
    async with begin(way, size, size.pods // 2) as story, trio.open_nursery() as nursery:
        nursery.start_soon(story.watch_share, story.deployment.add(size.pods - size.pods // 2))
        await trio.sleep(SETTLED)
        story.look(SCALED)
        await trio.sleep(size.wait)
        story.look(LATER)
        nursery.cancel_scope.cancel()
    return story.seen


Scenario = Callable[[Way, Size], Awaitable[Seen]]


def run(scenario: Scenario, way: Way, size: Size) -> Seen:
    """Live through one. Hours pass in seconds: the clock jumps to whatever is due next."""
    found: list[Seen] = []

    async def main() -> None:
        found.append(await scenario(way, size))

    random.seed(repr(way))
    trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))
    return found[0]
