"""How much of everything: for a long run, for a check of each change, and in between."""

from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Scale:
    """The size of a run. Times are in seconds.

    Attributes:
        unary: How long unary calls are made.
        connections: Connections that are open at once.
        streams: Streams that are open at once, a hundred to a connection.
        large: Unary calls of 300 kB on one channel.
        calls: Unary calls after which memory is looked at,
        cancelled: and cancelled ones.
        growth: Part by which memory may have grown then.
        repeats: How often each fault is repeated.
        rounds: How often faults are repeated that take seconds each.
        processes: Client processes that are stopped at a time, of each kind.
        keepalive: Silence after which a peer is asked, and what it has to answer.
        readers: WebSockets that are not read for a time.
        stuck: How long each of them does not read.
        flat: Bytes that memory may grow by meanwhile.
        websockets: WebSockets that are open at once.
        churn: How long a tenth of them is dropped each second.
        hold: How long all of them are held.
        noticed: Median until a handler hears of its client's end, at most.
        fuzz: Bytes of nonsense for each protocol.
        turns: How often each of two gateways and two servers is stopped.
        spread: Connections on a server of two workers.
        rolled: Unary calls while its workers are replaced.
        slack: What a machine that has other things to do may add to a time that is promised.
    """

    unary: float
    connections: int
    streams: int
    large: int
    calls: int
    cancelled: int
    growth: float
    repeats: int
    rounds: int
    processes: int
    keepalive: float
    readers: int
    stuck: float
    flat: int
    websockets: int
    churn: float
    hold: float
    noticed: float
    fuzz: int
    turns: int
    spread: int
    rolled: int
    slack: float


SHORT = Scale(
    unary=1,
    connections=50,
    streams=300,
    large=40,
    calls=3_000,
    cancelled=300,
    growth=0.25,  # A few thousand calls do not tell growth from the filling of caches.
    repeats=2,
    rounds=1,
    processes=1,
    keepalive=0.5,
    readers=2,
    stuck=1,
    flat=4 * 2**20,
    websockets=40,
    churn=3,
    hold=0,
    noticed=1.0,
    fuzz=100_000,
    turns=1,
    spread=200,
    rolled=2_000,
    slack=10.0,
)
DEFAULT = Scale(
    unary=60,
    connections=1_000,
    streams=5_000,
    large=1_000,
    calls=200_000,
    cancelled=20_000,
    growth=0.05,
    repeats=40,
    rounds=10,
    processes=3,
    keepalive=1.0,
    readers=5,
    stuck=30,
    flat=4 * 2**20,
    websockets=500,
    churn=60,
    hold=60,
    noticed=0.1,
    fuzz=10_000_000,
    turns=2,
    spread=10_000,
    rolled=20_000,
    slack=1.0,
)
LONG = replace(
    DEFAULT,
    calls=1_000_000,
    cancelled=100_000,
    repeats=200,
    rounds=20,
    processes=5,
    stuck=45,
    hold=600,
    turns=5,
)
