"""Hostile callers of scripting and evidence: what they hold is what any caller could hold, and no more."""

import gc
import tracemalloc

import pytest
import trio
import trio.testing

from echo.pb.com.gopay.echo.evidence import GetRequest, Record
from echo.pb.com.gopay.echo.streaming import StreamMessage
from echo.rpc import GRPCError, Limits, Server, Status
from echo.services import echo_services
from echo.services.evidence import MOST_WATCHERS
from echo.services.large import MOST_LARGE
from tests.support.http2_frames import data, rst_stream
from tests.support.leaks import no_leaks, settles
from tests.support.raw import raw_client
from tests.support.scripted import EVIDENCE, scripted_echo
from tests.support.services import SERVER_STREAM
from tests.support.serving import serving
from tests.support.target import GET_REPLY, HELLO, request

MANY = 10_000
HI = b"\0\0\0\0" + bytes((len(HELLO),)) + HELLO


@pytest.mark.parametrize("script", [{"x_echo_delay": "1h"}, {"x_echo_stall": "1h"}])
async def test_ten_thousand_that_wait_are_no_more_than_the_streams_allowed(script: dict[str, str]) -> None:
    server = Server(echo_services().services)
    async with no_leaks() as leaks:
        leaks.watch(server)
        async with serving(server) as port, raw_client(port) as client:
            for start in range(0, MANY, 500):
                numbers = range(2 * start + 1, 2 * start + 1_001, 2)
                heads = (client.head(number, request(GET_REPLY, **script)) + data(number, HI) for number in numbers)
                await client.send(*heads)
            most = Limits().max_concurrent_streams
            await client.until(lambda: client.complete == MANY - most)  # REFUSED_STREAM
            await settles(lambda: server.calls, most, "handlers")
            await client.close()


async def test_what_waits_ends_with_its_call() -> None:
    server = Server(echo_services().services)
    async with serving(server) as port, raw_client(port) as client:
        for number in range(1, 201, 2):
            await client.send(client.head(number, request(GET_REPLY, x_echo_delay="1h")), data(number, HI))
        await client.pause()
        assert server.calls == 100
        await client.send(*(rst_stream(number) for number in range(1, 201, 2)))
        await client.pause()
        assert server.calls == 0


@pytest.mark.parametrize(
    "name", ["delay", "count", "size", "status", "reset", "call-id", "set-header", "succeed-after", "compress"]
)
async def test_a_huge_value_is_refused_in_a_line(name: str) -> None:
    async with scripted_echo() as echo:
        seen = await echo.call("GetReply", (name, "9" * 15_000))
        assert seen.status is Status.INVALID_ARGUMENT
        assert seen.message is not None
        assert seen.message.startswith(f"x-echo-{name}: '999")
        assert len(seen.message) < 300


@pytest.mark.parametrize("call_id", ["", "a b", "a/b", "../a", "a\u00e9".encode().decode("latin-1"), "a%00", "x" * 65])
async def test_a_call_id_of_other_characters_records_nothing(call_id: str) -> None:
    server = Server(echo_services().services)
    async with serving(server) as port, raw_client(port) as client:
        await client.send(client.head(1, request(GET_REPLY, x_echo_call_id=call_id), end=True))
        assert (await client.heard(1)).fields["grpc-status"] == "3"


async def test_large_responses_that_nobody_reads_have_a_bound() -> None:
    async with scripted_echo(Limits(max_concurrent_streams=1_000)) as echo:
        script = ("size", "4MiB"), ("count", "1000000"), ("interval", "0")
        gc.collect()
        tracemalloc.start()
        try:
            async with trio.open_nursery() as nursery:
                refused = 0

                async def call() -> None:
                    nonlocal refused
                    async with echo.stream("ServerStream", *script) as stream:
                        await stream.send_message(StreamMessage(stream_id="a"))
                        try:
                            await stream.recv_trailing_metadata()
                        except GRPCError as error:
                            assert error.status is Status.RESOURCE_EXHAUSTED
                            refused += 1
                            return
                        await trio.sleep_forever()

                for _ in range(40):
                    nursery.start_soon(call)
                    await trio.testing.wait_all_tasks_blocked()
                held = tracemalloc.get_traced_memory()[0]
                nursery.cancel_scope.cancel()
        finally:
            tracemalloc.stop()
        assert held < 2.2 * MOST_LARGE
        assert refused == 40 - MOST_LARGE // (4 * 2**20)
        await trio.testing.wait_all_tasks_blocked()
        # What they held can be had again.
        seen = await echo.call("ServerStream", ("size", "4MiB"), ("interval", "0"))
        assert (seen.status, len(seen.texts)) == (Status.OK, 5)


async def test_many_who_watch_are_refused_beyond_a_number_and_end_with_the_call() -> None:
    async with scripted_echo(Limits(max_concurrent_streams=1_000)) as echo:
        async with echo.stream("BidirectionalStream", ("call-id", "a")) as stream:
            await stream.send_message(StreamMessage(stream_id="a"))
            assert await stream.recv_message() is not None
            ends: list[str] = []

            async def watch() -> None:
                try:
                    async with echo.channel.request(f"{EVIDENCE}/Watch", SERVER_STREAM, GetRequest, Record) as watching:
                        await watching.send_message(GetRequest("a"))
                        ends.append([record.outcome async for record in watching][-1])
                except GRPCError as error:
                    ends.append(error.status.name)

            async with trio.open_nursery() as nursery:
                for _ in range(MOST_WATCHERS + 50):
                    nursery.start_soon(watch)
                await trio.testing.wait_all_tasks_blocked(0.01)
                assert ends == ["RESOURCE_EXHAUSTED"] * 50
                await stream.end()
                assert await stream.recv_message() is None
        assert ends[50:] == ["completed"] * MOST_WATCHERS
        await trio.testing.wait_all_tasks_blocked()
        assert echo.server.calls == 0


async def test_goaway_again_and_again_leaves_nothing() -> None:
    server = Server(echo_services().services)
    async with no_leaks() as leaks:
        leaks.watch(server)
        async with serving(server) as port:
            for _ in range(20):
                async with raw_client(port) as client:
                    heads = [client.head(number, request(x_echo_goaway="true")) for number in range(1, 41, 2)]
                    await client.send(*heads, *(data(number, HI, end=True) for number in range(1, 41, 2)))
                    await client.until(lambda: client.goaways)
                    assert len(client.goaways) == 1
