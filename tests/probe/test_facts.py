"""What a report says of the path itself."""

from collections.abc import Iterable
from contextlib import AsyncExitStack

import trio

from echo.probe.checks.trailers import Trailers
from echo.probe.facts import explore
from echo.probe.path import Path
from echo.probe.survey import Survey
from echo.probe.target import Target
from echo.rpc import Server
from echo.services import echo_services
from tests.probe.paths import no_tls, path_through
from tests.probe.relays import Fault, Head, Item, Line
from tests.support.serving import LOOPBACK, serving


class LikeEnvoy(Fault):
    """Leaves the headers that Envoy leaves."""

    async def to_server(self, line: Line, item: Item) -> Iterable[Item]:
        if isinstance(item, Head):
            item = item.adding("x-forwarded-proto", "http").adding("x-envoy-expected-rq-timeout-ms", "15000")
        return [item]

    async def to_client(self, line: Line, item: Item) -> Iterable[Item]:
        return [item.adding("server", "envoy")] if isinstance(item, Head) and not item.ends else [item]


async def test_a_plain_path_adds_nothing() -> None:
    async with path_through() as path:
        facts = await explore(path)
    assert (facts.protocol, facts.tls) == ("HTTP/2", None)
    assert facts.settings["MAX_CONCURRENT_STREAMS"] == 100
    assert list(facts.added_headers) == []
    assert list(facts.hops_guess) == []
    assert len(facts.instances) == 1


async def test_what_a_hop_leaves_tells_what_it_is() -> None:
    async with path_through(LikeEnvoy()) as path:
        facts = await explore(path)
    assert list(facts.added_headers) == ["x-envoy-expected-rq-timeout-ms", "x-forwarded-proto"]
    assert list(facts.hops_guess) == ["Envoy"]


async def test_without_evidence_the_rest_is_reported() -> None:
    async with path_through(scripting=False) as path:
        facts = await explore(path)
    assert facts.protocol == "HTTP/2"
    assert list(facts.instances) == []


async def test_servers_around_the_path_are_asked_too() -> None:
    async with AsyncExitStack() as stack:
        ports = [await stack.enter_async_context(serving(Server(echo_services().services))) for _ in range(2)]
        ends = [Target(LOOPBACK, port) for port in ports]
        facts = await explore(Path(ends[0], no_tls, direct=ends))
    assert len(facts.instances) == 1  # Two servers in one process are one instance.


class EnvoyThatLosesTrailers(LikeEnvoy):
    async def to_client(self, line: Line, item: Item) -> Iterable[Item]:
        if isinstance(item, Head) and item.ends and item.get(":status") is None:
            line.data(line.client, item.stream, b"", end=True)
            return []
        return await super().to_client(line, item)


async def test_advice_about_what_is_on_the_path_comes_first() -> None:
    async with path_through(EnvoyThatLosesTrailers()) as path:
        report = await Survey(path, [Trailers()]).run()
    advised = [line.partition(":")[0] for line in report.results[0].advice]
    assert advised[0] == "Envoy"
    assert "nginx" in advised[1:]


async def test_what_answers_in_http1_tells_what_it_is_too() -> None:
    async def answer(stream: trio.SocketStream) -> None:
        async with stream:
            await stream.receive_some()
            await stream.send_all(b"HTTP/1.1 400 Bad Request\r\nServer: nginx/1.22.1\r\nContent-Length: 0\r\n\r\n")

    async with trio.open_nursery() as nursery:
        (listener,) = await trio.open_tcp_listeners(0, host=LOOPBACK)
        await nursery.start(trio.serve_listeners, answer, [listener])
        facts = await explore(Path(Target(LOOPBACK, listener.socket.getsockname()[1]), no_tls))
        nursery.cancel_scope.cancel()
    assert (facts.protocol, list(facts.hops_guess)) == ("HTTP/1.1", ["nginx"])
