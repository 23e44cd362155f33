"""What the project set out to reach, as ratios within one run, and whether this run did."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

from tests.bench import calling, growth, memory, relays, servers, telemetry
from tests.bench.figures import Figures, ratio
from tests.bench.results import OURS, Results

KIB: Final = 1024
GATEWAY_PEER: Final = "Starlette + uvicorn + grpcio.aio"
GRPCIO: Final = "grpcio.aio"
GRPCLIB: Final = "grpclib + protobuf"
OTHERS: Final = (GRPCLIB, "grpclib + betterproto", GRPCIO)

Measure = Callable[[Results], float]


@dataclass(frozen=True)
class Goal:
    """One of them.

    Attributes:
        what: What is to be small.
        limit: How small.
        measure: What it is; KeyError when the part of the run that tells is missing.
        least: How small it may be: less would say that the other side of the ratio is wrong.
    """

    what: str
    limit: float
    measure: Measure
    least: float = 0.0

    def row(self, results: Results) -> tuple[str, str, str, str] | None:
        """The goal, its limit, what was measured and the verdict; None when nothing was measured."""
        try:
            found = self.measure(results)
        except KeyError:
            return None
        limit = f"{self.least:.3g} to {self.limit:.3g}" if self.least else f"{self.limit:.3g}"
        return self.what, limit, f"{found:.3g}", "met" if self.least <= found <= self.limit else "**missed**"


def _server(what: str, others: Iterable[str], attribute: str = "cost") -> Measure:
    return lambda results: _against(results.servers, what, others, attribute)


def _client(what: str, others: Iterable[str]) -> Measure:
    return lambda results: _against(results.clients, what, others)


def _gateway(what: str, attribute: str = "cost") -> Measure:
    return lambda results: _against(results.gateways, what, [GATEWAY_PEER], attribute)


def _against(figures: Figures, what: str, others: Iterable[str], attribute: str = "cost") -> float:
    """Ours, as a share of the best of the others: of those that were measured, at least one."""
    by_peer = figures[what]
    found = [ratio(by_peer[OURS], by_peer[other], attribute) for other in others if other in by_peer]
    if not found:
        raise KeyError(what)
    return max(found)


def _mesh(results: Results) -> float:
    plain, mesh = results.servers[servers.UNARY][OURS], results.servers[servers.UNARY_MESH][OURS]
    return ratio(mesh, plain)


def _streams(load: str, many: int) -> Measure:
    """A message with as many streams open, as a multiple of one with one stream."""

    def measure(results: Results) -> float:
        by_level = results.growth[load]
        return ratio(by_level[growth.name(many)], by_level[growth.name(1)])

    return measure


def _telemetry(what: str, peer: str) -> Measure:
    """With telemetry, as a multiple of without."""

    def measure(results: Results) -> float:
        by_peer = results.telemetry[what]
        return ratio(by_peer[peer], by_peer[OURS])

    return measure


def _telemetry_goals() -> Iterable[Goal]:
    for load, what, limit in (
        (telemetry.STREAMED, "streamed message", 1.05),
        (telemetry.UNARY, "unary call", 1.1),
        (telemetry.MESH, "unary call with deadline, request id and traceparent,", 1.1),
    ):
        for peer in telemetry.TELLING:
            told = peer.removeprefix(f"{OURS} ")
            yield Goal(f"{what} {told}: server CPU, of that without", limit, _telemetry(load, peer))


def _idle(what: str) -> Measure:
    return lambda results: results.memory[what][OURS] / KIB


GOALS: Final = (
    Goal("unary call with deadline, request id and traceparent: server CPU, of a plain one's", 1.15, _mesh),
    Goal("unary call: server CPU, of grpcio.aio's", 1 / 4, _server(servers.UNARY, [GRPCIO])),
    Goal("unary call: server CPU, of grpclib + protobuf's", 1 / 4, _server(servers.UNARY, [GRPCLIB])),
    Goal("unary call: server CPU, of the best other's", 0.5, _server(servers.UNARY, OTHERS)),
    Goal("unary call: client CPU, of grpcio.aio's", 0.7, _client(calling.UNARY, [GRPCIO])),
    Goal("streamed message: server CPU, of grpcio.aio's", 1 / 9, _server(servers.STREAMED, [GRPCIO])),
    Goal(
        "streamed message: server CPU, of grpcio.aio's (the earlier goal)", 1 / 15, _server(servers.STREAMED, [GRPCIO])
    ),
    Goal("streamed message: server CPU, of grpclib + protobuf's", 0.4, _server(servers.STREAMED, [GRPCLIB])),
    Goal("ping-pong on a stream: server CPU, of grpclib + protobuf's", 1.0, _server(servers.PING_PONG, [GRPCLIB])),
    Goal("ping-pong on a stream: p50, of the best other's", 1.0, _server(servers.PING_PONG, OTHERS, "p50")),
    Goal("ping-pong on a stream: p99, of the best other's", 1.0, _server(servers.PING_PONG, OTHERS, "p99")),
    Goal(
        "a hundred messages at once over a hundred streams: server CPU, of that over one",
        1.3,
        _streams(growth.BURSTS, 100),
    ),
    Goal("the same with 1,000 streams open", 1.3, _streams(growth.BURSTS, 1_000)),
    Goal("message at 1,000 open streams: server CPU, of that at one", 1.2, _streams(growth.ROUND, 1_000)),
    Goal(
        "message at 10,000 open streams, on each in turn: server CPU, of that at one",
        1.2,
        _streams(growth.ROUND, 10_000),
        least=0.8,
    ),
    Goal(
        "message at 10,000 open streams, pipelined on one: server CPU, of that at one",
        1.2,
        _streams(growth.NEIGHBOURS, 10_000),
        least=0.8,
    ),
    *_telemetry_goals(),
    Goal("idle open stream: KiB", 6, _idle(memory.STREAM)),
    Goal("idle WebSocket: KiB", 45, _idle(memory.WEBSOCKET)),
    Goal("gateway, relayed message: CPU, of Starlette's", 1 / 6, _gateway(relays.RELAYED)),
    Goal("gateway, ping-pong: CPU, of Starlette's", 1.0, _gateway(relays.PING_PONG)),
    Goal("gateway, ping-pong: CPU, of Starlette's (the earlier goal)", 0.6, _gateway(relays.PING_PONG)),
    Goal("gateway, ping-pong: p99, of Starlette's", 1.1, _gateway(relays.PING_PONG, "p99")),
)
