"""Third-party clients, grpc-js and Ruby's, call every rpc of our server; what is specific to each is elsewhere."""

import trio
import trio.testing

from echo.rpc import Cardinality, Status
from tests.support.foreign import (
    BIDI,
    CLIENT_STREAM,
    EACH_MAKE,
    ECHO_PATHS,
    GET_REPLY,
    MEGABYTE,
    SERVER_STREAM,
    TEXTS,
    UNARY,
    Make,
)
from tests.support.grpc_js import begun
from tests.support.leaks import settles
from tests.support.ours import our_server
from tests.support.recording import DEADLINE, PATHS, REPLIES, SLEEPING, WAIT


@EACH_MAKE
async def test_a_foreign_client_gets_every_reply(make: Make) -> None:
    async with our_server() as ours, make.client(ours.port) as client:
        for text in TEXTS:
            outcome = await client.call(GET_REPLY, UNARY, [{"message": text}])
            assert (outcome.code, outcome.replies) == (0, [{"success": True, "response": f"from server:{text}"}])
        for count in (0, 1, 3):
            messages = [{"stream_id": f"s{number}", "message": "hi"} for number in range(count)]
            outcome = await client.call(ECHO_PATHS[CLIENT_STREAM], CLIENT_STREAM, messages)
            (reply,) = outcome.replies
            assert reply["response"] == f"from server: received {count} messages"
            assert (reply["stream_id"], reply["sequence_number"]) == ("s0" if count else "", str(count))
        messages = [{"stream_id": "a", "message": text} for text in TEXTS]
        outcome = await client.call(ECHO_PATHS[BIDI], BIDI, messages, pingpong=True)
        assert outcome.texts == [f"from server: {text}" for text in TEXTS]
        assert outcome.numbers == [1, 2, 3, 4]
        assert ours.server.connections == 1


@EACH_MAKE
async def test_a_foreign_client_gets_a_server_stream(make: Make, mock_clock: trio.testing.MockClock) -> None:
    mock_clock.rate = 1  # A program that starts is given all the time it needs.
    async with our_server() as ours, make.client(ours.port) as client:
        await client.call(GET_REPLY, UNARY, [{}])
        mock_clock.rate = 10
        outcome = await client.call(ECHO_PATHS[SERVER_STREAM], SERVER_STREAM, [{"stream_id": "a", "message": "hi"}])
        assert outcome.code == 0
        assert outcome.texts == [f"from server: hi (echo {number}/5)" for number in range(1, 6)]
        mock_clock.rate = 0


@EACH_MAKE
async def test_a_foreign_client_is_told_what_is_refused(make: Make) -> None:
    async with our_server() as ours, make.client(ours.port) as client:
        for kind, path in ECHO_PATHS.items():
            outcome = await client.call(path, kind, [{"message": "nameless"}])
            assert (outcome.code, outcome.details) == (Status.INVALID_ARGUMENT.value, "stream_id is required")
        for path in ("/com.gopay.echo.Server/Nothing", "/no.such.Service/GetReply"):
            assert (await client.call(path, UNARY)).code == Status.UNIMPLEMENTED.value


@EACH_MAKE
async def test_a_foreign_client_s_deadline_cancels_the_handler(make: Make) -> None:
    async with our_server() as ours, make.client(ours.port) as client:
        await client.record(UNARY)  # So that there is a connection.
        await ours.recorder.calls.next()
        wait = {WAIT: SLEEPING}
        calls = {
            kind: await client.start(PATHS[kind], kind, [{}], wait.items(), timeout=DEADLINE) for kind in Cardinality
        }
        for _ in calls:
            await (await ours.recorder.calls.next()).is_cancelled_in(DEADLINE)
        codes = {kind: (await client.outcome(number)).code for kind, number in calls.items()}
        assert codes == {**dict.fromkeys(Cardinality, Status.DEADLINE_EXCEEDED.value), **make.without_head}


@EACH_MAKE
async def test_a_foreign_client_that_dies_is_seen_by_the_handler(make: Make) -> None:
    async with our_server() as ours:
        async with make.client(ours.port) as client:
            await client.start(PATHS[BIDI], BIDI, [{}], {WAIT: SLEEPING}.items(), open=True)
            seen = await begun(ours.recorder)
        with trio.fail_after(30):
            await seen.ended.wait()
        assert seen.cancelled.is_set()
        await settles(lambda: ours.server.connections, 0, "connections of the server")


@EACH_MAKE
async def test_a_foreign_client_exchanges_a_megabyte(make: Make) -> None:
    async with our_server() as ours, make.client(ours.port) as client:
        for kind in Cardinality:
            assert set((await client.record(kind, message=MEGABYTE)).texts) == {MEGABYTE}


@EACH_MAKE
async def test_thousands_of_messages_go_each_way_in_order(make: Make) -> None:
    async with our_server() as ours, make.client(ours.port) as client:
        numbers = list(range(1, 5_001))
        # The recorder fails the call at the first one out of order.
        assert (await client.call(PATHS[BIDI], BIDI, numbered=5_000)).numbers == numbers
        assert (await client.call(PATHS[CLIENT_STREAM], CLIENT_STREAM, numbered=5_000)).numbers == [5_000]
        assert (await client.record(SERVER_STREAM, {REPLIES: "5000"})).numbers == numbers


@EACH_MAKE
async def test_a_drain_lets_a_foreign_client_finish_what_runs(make: Make) -> None:
    async with our_server() as ours, make.client(ours.port) as client, trio.open_nursery() as nursery:
        ours.recorder.gate = trio.Event()
        number = await client.start(PATHS[UNARY], UNARY, [{"message": "last orders"}])
        await ours.recorder.calls.next()
        nursery.start_soon(ours.server.drain, 60)
        await trio.testing.wait_all_tasks_blocked(0.01)
        ours.recorder.gate.set()
        assert (await client.outcome(number)).texts == ["last orders"]
        await settles(lambda: ours.server.connections, 0, "connections of the server")
        assert (await client.record(UNARY)).code == Status.UNAVAILABLE.value
