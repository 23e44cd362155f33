"""Random failures of servers in any order: calls end as they should, and the channel recovers afterwards."""

from dataclasses import dataclass
from typing import Literal

import trio
import trio.testing
from hypothesis import example, given, settings
from hypothesis import strategies as st

from echo.rpc import Channel, GRPCError, Status
from echo.rpc.backoff import MAX_BACKOFF
from tests.support.fleet import Fleet, a_fleet, shares, who

HOSTS = ["a", "b", "c"]
WELL_AGAIN = MAX_BACKOFF * 1.2 + 0.01  # Seconds after which anything is tried again.

What = Literal["die", "come_back", "silence", "voice", "slow", "quick", "refuse", "take", "roll", "leave", "join"]
WHATS: list[What] = [
    "die", "come_back", "silence", "voice", "slow", "quick", "refuse", "take", "roll", "leave", "join"
]  # fmt: skip


@dataclass(frozen=True)
class Event:
    """Something that happens to a host, or to the name (None)."""

    host: str
    what: What


@dataclass(frozen=True)
class Wait:
    """Time passes."""

    seconds: float


@dataclass(frozen=True)
class Call:
    """A call is made, and its outcome awaited or not."""

    wait_for_ready: bool
    in_background: bool


@dataclass(frozen=True)
class Known:
    """The name can be looked up, or not."""

    known: bool


Policy = dict[str, dict[str, object]]
"""Of a service config, for all calls."""

RETRIES: Policy = {
    "retryPolicy": {
        "maxAttempts": 3,
        "initialBackoff": "0.1s",
        "maxBackoff": "1s",
        "backoffMultiplier": 2,
        "retryableStatusCodes": ["UNAVAILABLE"],
    }
}
HEDGING: Policy = {"hedgingPolicy": {"maxAttempts": 3, "hedgingDelay": "0.1s", "nonFatalStatusCodes": ["UNAVAILABLE"]}}

Step = Event | Wait | Call | Known

STEPS = st.lists(
    st.one_of(
        st.builds(Event, st.sampled_from(HOSTS), st.sampled_from(WHATS)),
        st.builds(Wait, st.sampled_from([0.0, 0.03, 0.3, 3.0, 30.0])),
        st.builds(Call, st.booleans(), st.booleans()),
        st.builds(Known, st.booleans()),
    ),
    max_size=30,
)


class Story:
    """A fleet and its callers."""

    def __init__(self, fleet: Fleet, channel: Channel, nursery: trio.Nursery) -> None:
        self.fleet = fleet
        self.channel = channel
        self.nursery = nursery
        self.waiting = 0

    async def take(self, step: Step) -> None:
        match step:
            case Event(host, what):
                await self._befall(host, what)
            case Wait(seconds):
                await trio.sleep(seconds)
            case Known(known):
                self.fleet.unknown = not known
            case Call(wait_for_ready, in_background):
                if in_background:
                    self.nursery.start_soon(self._call, wait_for_ready)
                else:
                    await self._call(wait_for_ready)

    async def _befall(self, name: str, what: What) -> None:
        host = self.fleet[name]
        match what:
            case "die":
                host.die()
            case "come_back":
                host.come_back()
            case "silence" | "voice":
                host.silent = what == "silence"
            case "slow" | "quick":
                host.delay = 0.5 if what == "slow" else 0.0
            case "refuse" | "take":
                host.refuses = what == "refuse"
            case "roll":
                self.nursery.start_soon(host.roll_over)
            case "leave":
                if len(self.fleet.addresses) > 1 and name in self.fleet.addresses:
                    self.fleet.addresses.remove(name)
            case "join":
                if name not in self.fleet.addresses:
                    self.fleet.addresses.append(name)

    async def _call(self, wait_for_ready: bool) -> None:
        self.waiting += 1
        began = trio.current_time()
        try:
            assert await who(self.channel, wait_for_ready=wait_for_ready, timeout=100) in HOSTS
        except GRPCError as error:
            if error.status is Status.DEADLINE_EXCEEDED:
                assert wait_for_ready
                assert trio.current_time() - began >= 99
            else:
                assert error.status is Status.UNAVAILABLE
        finally:
            self.waiting -= 1

    async def end_well(self) -> None:
        """Everything is mended; in a while the channel has found out."""
        self.fleet.unknown = False
        self.fleet.addresses = list(HOSTS)
        for host in self.fleet.hosts.values():
            host.die()  # Their connections too, or some would still refuse calls.
            host.come_back()
            host.silent = host.refuses = False
            host.delay = 0.0
        await trio.testing.wait_all_tasks_blocked()


async def live_through(steps: list[Step], balance: Literal["pick_first", "round_robin"], policy: Policy) -> None:
    config: dict[str, object] = {"methodConfig": [{"name": [{}]} | policy]}
    async with (
        a_fleet(*HOSTS, balance=balance, lookup_interval=MAX_BACKOFF, service_config=config) as (fleet, channel),
        trio.open_nursery() as nursery,
    ):
        story = Story(fleet, channel, nursery)
        for step in steps:
            await story.take(step)
            assert channel.connections <= 2 * len(HOSTS)
        await story.end_well()
        for _ in range(3):  # The backoffs end, the due look-up runs, and the addresses it finds are connected.
            await trio.sleep(WELL_AGAIN + 20)
            await who(channel, wait_for_ready=True)
        await trio.testing.wait_all_tasks_blocked()
        assert story.waiting == 0
        if balance == "round_robin":
            assert await shares(channel, 30) == dict.fromkeys(HOSTS, 10)
            assert channel.connections == len(HOSTS)
        else:
            assert len(await shares(channel, 30)) == 1
            assert channel.connections == 1
        assert channel.calls == 0


# A connection that was being made when its host died must not survive: while it works, no name is looked up.
OUTLIVED: list[Step] = [
    Event("a", "die"),
    Event("a", "slow"),
    Event("b", "leave"),
    Event("c", "leave"),
    Call(True, False),
]
# Connections that are lost and replaced soon after a look-up must not put the next one off for good.
TOO_SOON: list[Step] = [Event("a", "leave"), Call(False, False), Call(False, True)]


@settings(max_examples=60, deadline=None)
@example(OUTLIVED, "round_robin", {})
@example(TOO_SOON, "round_robin", RETRIES)
@given(STEPS, st.sampled_from(["pick_first", "round_robin"]), st.sampled_from([{}, RETRIES, HEDGING]))
def test_after_all_faults_are_gone_calls_succeed_again(
    steps: list[Step], balance: Literal["pick_first", "round_robin"], policy: Policy
) -> None:
    trio.run(live_through, steps, balance, policy, clock=trio.testing.MockClock(autojump_threshold=0))
