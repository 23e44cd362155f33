"""Client-side health checking: a connection is used while the server reports SERVING on it."""

from collections.abc import Callable, Sequence
from typing import Any

import anyio
import pytest
import trio
import trio.testing
from grpclib.const import Cardinality, Handler

from echo.pb.grpc.health.v1 import HealthCheckRequest, HealthCheckResponse
from echo.rpc import ChannelState, GRPCError, ServerStream, Status
from echo.rpc.backoff import MAX_BACKOFF
from echo.rpc.health import NOT_SERVING, SERVING
from echo.rpc.servable import Servable
from echo.rpc.watch import WATCH
from tests.support.fleet import a_fleet, shares, who
from tests.support.services import on_both_loops

WatchStream = ServerStream[bytes, bytes]

SERVES = HealthCheckResponse(status=SERVING)
DOES_NOT = HealthCheckResponse(status=NOT_SERVING)


class Healths:
    """A health service for each host, whose watches a test controls.

    Attributes:
        said: The hosts' answers: a status, or how the watch ends. A host without one does not answer.
        asked: The services that were asked for.
        watches: How many watches are open.
        when_asked: Called when a watch begins.
    """

    def __init__(self) -> None:
        self.said: dict[int, bytes | Status | None] = {}
        self.asked: list[str] = []
        self.watches = 0
        self.when_asked: Callable[[], None] = lambda: None
        self._changed = anyio.Event()
        self._hosts = 0
        self._cuts = 0

    def services(self) -> Sequence[Servable]:
        number = self._hosts
        self._hosts += 1
        return [_Watched(self, number)]

    def say(self, number: int, what: HealthCheckResponse | bytes | Status | None) -> None:
        self.said[number] = bytes(what) if isinstance(what, HealthCheckResponse) else what
        self._changed.set()
        self._changed = anyio.Event()

    def cut(self) -> None:
        """Every watch ends, though nothing has changed."""
        self._cuts += 1
        self.say(-1, None)

    async def watch(self, number: int, stream: WatchStream) -> None:
        request = await stream.recv_message()
        assert request is not None
        self.asked.append(HealthCheckRequest.FromString(request).service)
        self.watches += 1
        self.when_asked()
        told = None
        cuts = self._cuts
        try:
            while True:
                if self._cuts != cuts:
                    raise GRPCError(Status.UNAVAILABLE)
                say = self.said.get(number)
                if isinstance(say, Status):
                    raise GRPCError(say)
                if say is not None and say != told:
                    told = say
                    await stream.send_message(say)
                else:
                    await self._changed.wait()
        finally:
            self.watches -= 1


class _Watched:
    def __init__(self, healths: Healths, number: int) -> None:
        self._healths = healths
        self._number = number

    async def _watch(self, stream: WatchStream) -> None:
        await self._healths.watch(self._number, stream)

    def __mapping__(self) -> dict[str, Handler]:
        return {WATCH: Handler(self._watch, Cardinality.UNARY_STREAM, bytes, bytes)}


@pytest.fixture
def healths() -> Healths:
    return Healths()


def watched(healths: Healths, *names: str, **options: Any) -> Any:
    """A fleet whose health is watched."""
    return a_fleet(*names, services=healths.services, **{"balance": "round_robin", "health_service": "", **options})


@on_both_loops
async def test_calls_go_to_the_servers_that_serve() -> None:
    healths = Healths()
    healths.say(0, SERVES)
    healths.say(1, DOES_NOT)
    healths.say(2, SERVES)
    async with watched(healths, "a", "b", "c", health_service="test.Service") as (_, channel):
        await who(channel)
        await anyio.wait_all_tasks_blocked()
        assert await shares(channel, 20) == {"a": 10, "c": 10}
        healths.say(1, SERVES)
        healths.say(0, DOES_NOT)
        await anyio.wait_all_tasks_blocked()
        assert await shares(channel, 20) == {"b": 10, "c": 10}
        assert healths.asked == ["test.Service"] * 3
        assert channel.connections == 3


@pytest.mark.parametrize(
    ("options", "asked"),
    [
        ({}, ["test.Service"]),
        ({"health_service": ""}, [""]),
        ({"balance": "pick_first"}, []),
    ],
)
async def test_the_service_config_may_name_the_service_to_watch(
    healths: Healths, options: Any, asked: list[str]
) -> None:
    healths.say(0, SERVES)
    config = {"loadBalancingPolicy": "round_robin", "healthCheckConfig": {"serviceName": "test.Service"}}
    async with a_fleet("a", services=healths.services, service_config=config, **options) as (_, channel):
        await who(channel)
        assert healths.asked == asked


async def test_a_server_without_a_health_service_counts_as_serving() -> None:
    async with a_fleet("a", "b", balance="round_robin", health_service="") as (_, channel):
        await who(channel)
        await anyio.wait_all_tasks_blocked()
        assert await shares(channel, 20) == {"a": 10, "b": 10}


async def test_a_call_waits_for_the_first_health_status_and_no_longer(
    healths: Healths, autojump_clock: trio.abc.Clock
) -> None:
    async with watched(healths, "a", "b") as (_, channel), trio.open_nursery() as nursery:
        answers: list[str] = []

        async def one() -> None:
            answers.append(await who(channel))

        nursery.start_soon(one)
        await trio.sleep(10)
        assert not answers
        healths.say(1, SERVES)
        await trio.testing.wait_all_tasks_blocked()
        assert answers == ["b"]


async def test_calls_fail_while_no_server_serves_and_those_that_wait_do_not(
    healths: Healths, autojump_clock: trio.abc.Clock
) -> None:
    healths.say(0, DOES_NOT)
    async with watched(healths, "a") as (fleet, channel), trio.open_nursery() as nursery:
        for _ in range(3):
            with pytest.raises(GRPCError) as raised:
                await who(channel)
            assert raised.value.status is Status.UNAVAILABLE
            assert raised.value.message == "cannot connect to fleet: the server is not serving"
        answers: list[str] = []

        async def one() -> None:
            answers.append(await who(channel, wait_for_ready=True))

        nursery.start_soon(one)
        await trio.sleep(100)
        assert not answers
        healths.say(0, SERVES)
        await trio.testing.wait_all_tasks_blocked()
        assert answers == ["a"]
        assert len(fleet["a"].attempts) == 1


async def test_running_calls_continue_when_their_server_reports_not_serving(healths: Healths) -> None:
    healths.say(0, SERVES)
    async with watched(healths, "a") as (fleet, channel), trio.open_nursery() as nursery:
        answers: list[str] = []

        async def one() -> None:
            answers.append(await who(channel))

        hold = fleet["a"].hold = anyio.Event()
        nursery.start_soon(one)
        await trio.testing.wait_all_tasks_blocked()
        healths.say(0, DOES_NOT)
        await trio.testing.wait_all_tasks_blocked()
        hold.set()
        await trio.testing.wait_all_tasks_blocked()
        assert answers == ["a"]


async def test_the_watch_is_not_one_of_the_user_s_calls_and_ends_with_the_channel(healths: Healths) -> None:
    healths.say(0, SERVES)
    async with watched(healths, "a") as (fleet, channel):
        await who(channel)
        await anyio.wait_all_tasks_blocked()
        assert (channel.calls, healths.watches) == (0, 1)
        channel.close()
        await anyio.wait_all_tasks_blocked()
        assert (channel.connections, healths.watches, fleet["a"].server.calls) == (0, 0, 0)


async def test_the_watch_does_not_delay_a_drain(healths: Healths, autojump_clock: trio.abc.Clock) -> None:
    """Though this server's never ends by itself."""
    healths.say(0, SERVES)
    async with watched(healths, "a") as (fleet, channel):
        await who(channel)
        await anyio.wait_all_tasks_blocked()
        before = trio.current_time()
        await fleet["a"].server.drain(60)
        assert trio.current_time() == before
        assert (channel.connections, healths.watches) == (0, 0)


async def test_a_server_whose_watch_fails_is_not_used_until_another_succeeds(
    healths: Healths, autojump_clock: trio.abc.Clock
) -> None:
    healths.say(0, SERVES)
    healths.say(1, SERVES)
    async with watched(healths, "a", "b") as (fleet, channel):
        await who(channel)
        await anyio.wait_all_tasks_blocked()
        healths.say(0, Status.INTERNAL)
        await anyio.wait_all_tasks_blocked()
        await trio.sleep(60)
        assert await shares(channel, 10) == {"b": 10}
        assert 20 < len(healths.asked) < 60  # It is asked ever rarer, every two seconds in the end.
        healths.say(0, SERVES)
        await trio.sleep(MAX_BACKOFF * 1.2 + 0.01)
        assert await shares(channel, 20) == {"a": 10, "b": 10}
        assert len(fleet["a"].attempts) == 1


async def test_an_invalid_reply_counts_as_a_failure(healths: Healths, autojump_clock: trio.abc.Clock) -> None:
    healths.say(0, b"\xff\xff")
    healths.say(1, SERVES)
    async with watched(healths, "a", "b") as (_, channel):
        await who(channel)
        await anyio.wait_all_tasks_blocked()
        assert await shares(channel, 10) == {"b": 10}


async def test_a_watch_that_is_cut_after_a_while_is_restarted_without_a_gap(
    healths: Healths, autojump_clock: trio.abc.Clock
) -> None:
    """Proxies cut streams that are old."""
    healths.say(0, SERVES)
    async with watched(healths, "a") as (_, channel):
        await who(channel)
        for cuts in range(1, 5):
            await trio.sleep(60)
            healths.cut()
            await anyio.wait_all_tasks_blocked()
            assert len(healths.asked) == 1 + cuts
            assert await who(channel) == "a"


async def test_a_server_that_dies_before_its_settings_is_backed_off_from(
    healths: Healths, autojump_clock: trio.abc.Clock
) -> None:
    async with watched(healths, "a") as (fleet, channel):

        def die() -> None:
            fleet["a"].die()
            fleet["a"].come_back()

        healths.when_asked = die
        with pytest.raises(GRPCError, match="lost before the server's health was known"):
            await who(channel)
        with pytest.raises(GRPCError, match="DEADLINE_EXCEEDED"):
            await who(channel, wait_for_ready=True, timeout=60)
        assert 20 < len(fleet["a"].attempts) < 60
        healths.say(0, SERVES)
        healths.when_asked = lambda: None
        assert await who(channel, wait_for_ready=True) == "a"
        fleet["a"].die()
        fleet["a"].attempts.clear()
        for _ in range(20):  # It has served, so all is forgiven, and it is tried again soon.
            with pytest.raises(GRPCError):
                await who(channel)
            await trio.sleep(0.01)
        assert len(fleet["a"].attempts) > 1


async def test_a_channel_is_in_transient_failure_while_its_server_does_not_serve() -> None:
    healths = Healths()
    healths.say(0, DOES_NOT)
    async with (
        a_fleet("a", services=healths.services, balance="round_robin", health_service="") as (_, channel),
        trio.open_nursery() as nursery,
    ):
        nursery.start_soon(channel.connect)
        await trio.testing.wait_all_tasks_blocked()
        assert channel.state is ChannelState.TRANSIENT_FAILURE
        healths.say(0, SERVES)
        assert await channel.wait_for_state_change(ChannelState.TRANSIENT_FAILURE) is ChannelState.READY
