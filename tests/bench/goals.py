"""What the project set out to reach, as ratios within one run, and whether this run did."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

from tests.bench import growth, memory, relays, servers
from tests.bench.figures import Figures, median
from tests.bench.results import OURS, Results

KIB: Final = 1024
GATEWAY_PEER: Final = "Starlette + uvicorn + grpcio.aio"
OTHERS: Final = ("grpclib + protobuf", "grpclib + betterproto", "grpcio.aio")


@dataclass(frozen=True)
class Goal:
    """One of them.

    Attributes:
        what: What is to be small.
        limit: How small.
        measure: What it is; KeyError when the part of the run that tells is missing.
    """

    what: str
    limit: float
    measure: Callable[[Results], float]

    def row(self, results: Results) -> tuple[str, str, str, str] | None:
        """The goal, its limit, what was measured and the verdict; None when nothing was measured."""
        try:
            found = self.measure(results)
        except KeyError:
            return None
        return self.what, f"{self.limit:.3g}", f"{found:.3g}", "met" if found <= self.limit else "**missed**"


def _against(figures: Figures, what: str, attribute: str, others: Iterable[str]) -> float:
    """Ours, as a share of the best of the others."""
    by_peer = figures[what]
    return median(by_peer[OURS], attribute) / min(median(by_peer[other], attribute) for other in others)


GOALS: Final = (
    Goal(
        "streamed message: server CPU, of grpcio.aio's",
        1 / 15,
        lambda r: _against(r.servers, servers.STREAMED, "cost", ["grpcio.aio"]),
    ),
    Goal(
        "streamed message: server CPU, of grpclib + protobuf's",
        0.4,
        lambda r: _against(r.servers, servers.STREAMED, "cost", ["grpclib + protobuf"]),
    ),
    Goal(
        "unary call: server CPU, of the best other's",
        0.5,
        lambda r: _against(r.servers, servers.UNARY, "cost", OTHERS),
    ),
    Goal(
        "ping-pong on a stream: p50, of the best other's",
        1.0,
        lambda r: _against(r.servers, servers.PING_PONG, "p50", OTHERS),
    ),
    Goal(
        "ping-pong on a stream: p99, of the best other's",
        1.0,
        lambda r: _against(r.servers, servers.PING_PONG, "p99", OTHERS),
    ),
    Goal(
        "gateway, pipelined: CPU, of Starlette's",
        0.5,
        lambda r: _against(r.gateways, relays.RELAYED, "cost", [GATEWAY_PEER]),
    ),
    Goal(
        "gateway, ping-pong: CPU, of Starlette's",
        0.6,
        lambda r: _against(r.gateways, relays.PING_PONG, "cost", [GATEWAY_PEER]),
    ),
    Goal("idle open stream: KiB", 8, lambda r: r.memory[memory.STREAM][OURS] / KIB),
    Goal("idle WebSocket: KiB", 60, lambda r: r.memory[memory.WEBSOCKET][OURS] / KIB),
    Goal(
        "message at 1,000 open streams: server CPU, of that at one",
        1.2,
        lambda r: (
            median(r.growth[growth.ROUND][growth.name(1_000)], "cost")
            / median(r.growth[growth.ROUND][growth.name(1)], "cost")
        ),
    ),
)
