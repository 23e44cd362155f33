"""Behind nginx, haproxy and envoy: a drain loses no call, a dead proxy is noticed, a slow reader slows its sender."""

from collections.abc import Callable
from pathlib import Path

import trio
import trio.testing

from echo.pb.com.gopay.echo.streaming import StreamMessage, StreamResponse
from echo.rpc import Cardinality, Server, Status, open_channel
from tests.support.callers import EACH_CLIENT, Caller, Outcome, calling
from tests.support.leaks import no_leaks, settles
from tests.support.proxies import EACH_PROXY, Behind, behind, kernel_buffers, proxied
from tests.support.proxy_configs import Front
from tests.support.recording import SLEEPING, WAIT
from tests.support.serving import LOOPBACK, serving
from tests.support.streams import Patient

pytestmark = EACH_PROXY

UNARY = Cardinality.UNARY_UNARY
BIDI = Cardinality.STREAM_STREAM
STREAMING = "/com.gopay.echo.streaming.StreamingServer"


class Load:
    """Clients that call again and again until told to stop.

    Attributes:
        outcomes: How the calls ended.
        enough: Set it to have the clients stop.
    """

    def __init__(self) -> None:
        self.outcomes: list[Outcome] = []
        self.enough = trio.Event()
        self._ended = trio.lowlevel.ParkingLot()

    async def call(self, caller: Caller) -> None:
        while not self.enough.is_set():
            self.outcomes.append(await caller.call(UNARY))
            self._ended.unpark_all()

    async def reaches(self, count: int) -> None:
        """Wait until so many more calls have ended."""
        target = len(self.outcomes) + count
        await self.until(lambda: len(self.outcomes) >= target)

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait until this is so, which is looked at whenever a call has ended."""
        with trio.fail_after(30):
            while not condition():
                await self._ended.park()


async def waits_in(ours: Behind, server: int, caller: Caller, nursery: trio.Nursery, outcomes: list[Outcome]) -> None:
    """Have a unary call wait at the gate of this server; others of the servers answer at once."""

    async def call() -> None:
        outcomes.append(await caller.call(UNARY, text="last orders"))

    recorder = ours.recorders[server]
    recorder.gate = trio.Event()
    for _ in ours.servers:  # They are taken in turn.
        nursery.start_soon(call)
    await settles(lambda: ours.servers[server].calls, 1, "calls that wait")


@EACH_CLIENT
async def test_a_server_that_drains_under_load_loses_no_call(make: str, client: str, tmp_path: Path) -> None:
    load = Load()
    last: list[Outcome] = []
    async with behind(make, tmp_path, servers=2) as ours, calling(client, ours.port) as caller:
        async with trio.open_nursery() as nursery:
            await waits_in(ours, 0, caller, nursery, last)
            for _ in range(4):
                nursery.start_soon(load.call, caller)
            ours.recorder.gate, gate = trio.Event(), ours.recorder.gate
            ours.recorder.gate.set()  # For those that come from now on.
            await load.reaches(50)
            nursery.start_soon(ours.server.drain, 60)
            await load.reaches(50)
            await load.until(lambda: ours.server.calls == 1)  # The one that waits.
            gate.set()
            await load.reaches(50)
            load.enough.set()
        assert [outcome for outcome in load.outcomes if outcome.status is not Status.OK] == []
        assert [outcome.texts for outcome in last] == [["last orders"]] * 2
        assert ours.server.connections == 0


@EACH_CLIENT
async def test_a_stream_goes_on_while_the_only_server_drains_and_new_calls_are_unavailable(
    make: str, client: str, tmp_path: Path
) -> None:
    last: list[Outcome] = []
    async with behind(make, tmp_path) as ours, calling(client, ours.port) as caller:
        async with trio.open_nursery() as nursery:
            await waits_in(ours, 0, caller, nursery, last)
            nursery.start_soon(ours.server.drain, 60)
            with trio.fail_after(60):  # haproxy tries for three seconds.
                while (late := await caller.call(UNARY, timeout=8)).status is not Status.UNAVAILABLE:
                    assert late.status is Status.DEADLINE_EXCEEDED  # Taken before the drain had been told: it waits.
            ours.recorder.gate.set()
        assert [outcome.texts for outcome in last] == [["last orders"]]
        assert ours.server.connections == 0


def not_half_closed(server: Server) -> int:
    """How many open calls may have more messages to come, as far as the server has heard."""
    connections = [session.connection for session in server._sessions]
    return sum(not stream.peer_ended for connection in connections for stream in connection.streams.values())


@EACH_CLIENT
async def test_a_drain_beyond_its_grace_is_told_as_unavailable(make: str, client: str, tmp_path: Path) -> None:
    outcomes: list[Outcome] = []
    async with behind(make, tmp_path) as ours, calling(client, ours.port) as caller:

        async def call(kind: Cardinality) -> None:
            outcomes.append(await caller.call(kind, {WAIT: SLEEPING}))

        async with trio.open_nursery() as nursery:
            for kind in Cardinality:
                nursery.start_soon(call, kind)
            for _ in Cardinality:
                await (await ours.recorder.calls.next()).waiting.wait()
            # Of a call that ends before its client half-closes the server resets the rest (RFC 9113 §8.1), and
            # haproxy may tell its client of the reset alone.
            await settles(lambda: not_half_closed(ours.server), 0, "calls that are not half-closed")
            await ours.server.drain(0)
        assert [(outcome.status, outcome.message) for outcome in outcomes] == [
            (Status.UNAVAILABLE, "the server is shutting down")
        ] * 4


@EACH_CLIENT
async def test_a_proxy_that_dies_is_unavailable_and_the_client_finds_it_when_it_is_back(
    make: str, client: str, tmp_path: Path
) -> None:
    outcomes: list[Outcome] = []
    async with behind(make, tmp_path) as ours, calling(client, ours.port) as caller:
        async with trio.open_nursery() as nursery:

            async def call() -> None:
                outcomes.append(await caller.call(BIDI, {WAIT: SLEEPING}, half_close=False))

            nursery.start_soon(call)
            seen = await ours.recorder.calls.next()
            await ours.proxy.kill()
        assert [outcome.status for outcome in outcomes] == [Status.UNAVAILABLE]
        with trio.fail_after(30):
            await seen.ended.wait()
        assert seen.cancelled.is_set()  # The server knows as well.
        assert (await caller.call(UNARY)).status is Status.UNAVAILABLE
        await ours.proxy.start()
        with trio.fail_after(60):
            while (outcome := await caller.call(UNARY)).status is Status.UNAVAILABLE:
                await trio.testing.wait_all_tasks_blocked(0.05)
        assert outcome.texts == ["hi"]


async def test_a_client_that_does_not_read_stops_the_handler(make: str, tmp_path: Path) -> None:
    patient = Patient()
    server = Server([patient])
    async with (
        no_leaks() as leaks,
        serving(server) as port,
        proxied(make, Front((port,)), tmp_path) as proxy,
        open_channel(LOOPBACK, proxy.port) as channel,
    ):
        leaks.watch(server, channel)
        path = f"{STREAMING}/ServerStream"
        async with channel.request(path, Cardinality.UNARY_STREAM, StreamMessage, StreamResponse) as stream:
            await stream.send_message(StreamMessage(stream_id="a"))
            assert await stream.recv_message() is not None
            stood = await patient.stands_still(elsewhere=0.2)
            # Nginx leaves flow control between it and the server to TCP.
            assert stood < (kernel_buffers() + 2_000_000) // 10_000, "more lies somewhere than in the kernel"
            for _ in range(stood + 100):
                assert await stream.recv_message() is not None  # And it goes on as the client does.
            assert patient.sent > stood
        with trio.fail_after(30):
            await patient.ended.wait()
        assert patient.cancelled == 1


async def test_a_handler_that_does_not_read_stops_the_client(make: str, tmp_path: Path) -> None:
    patient = Patient()
    server = Server([patient])
    sent = 0
    async with (
        no_leaks() as leaks,
        serving(server) as port,
        proxied(make, Front((port,)), tmp_path) as proxy,
    ):
        leaks.watch(server)
        path = f"{STREAMING}/BidirectionalStream"
        async with (
            open_channel(LOOPBACK, proxy.port) as channel,
            channel.request(path, BIDI, StreamMessage, StreamResponse) as stream,
            trio.open_nursery() as nursery,
        ):
            await stream.send_message(StreamMessage(stream_id="a", message="deaf"))

            async def pour() -> None:
                nonlocal sent
                while True:
                    await stream.send_message(StreamMessage(stream_id="a", message="x" * 10_000))
                    sent += 1

            nursery.start_soon(pour)
            await patient.started.wait()
            before = -1
            while before != sent:
                before = sent
                await trio.testing.wait_all_tasks_blocked(0.2)
            assert 0 < sent < 500, "five megabytes lie somewhere"
            nursery.cancel_scope.cancel()
        if make == "haproxy":
            return  # The reset, and the end of the connection too, lie there behind DATA that it has no room for.
        with trio.fail_after(30):
            await patient.ended.wait()
        assert patient.cancelled == 1
