"""How evenly connections and calls are spread over pods at a moment."""

import statistics
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from tests.scale.pods import Pod


@dataclass(frozen=True)
class Spread:
    """What pods have at a moment.

    Attributes:
        at: When, in seconds from the start.
        connections: Of each pod.
        loads: Of each pod: its calls as a multiple of the mean.
    """

    at: float
    connections: tuple[int, ...]
    loads: tuple[float, ...]

    @property
    def variation(self) -> float:
        """Standard deviation of the pods' calls as a share of their mean: the coefficient of variation."""
        return statistics.pstdev(self.loads)

    @property
    def busiest(self) -> float:
        """The calls of the pod that has most, as a multiple of the mean."""
        return max(self.loads)


def shares(pods: Collection[Pod], everywhere: Collection[Pod]) -> list[float]:
    """The share of all calls that each of ``pods`` has, if every client makes as many.

    A client's calls are the same for each of its connections: with pick_first there is one, with round_robin they take
    turns. So shares come from connections, and need no thousands of calls to count.
    """
    held: Counter[int] = Counter()
    for pod in everywhere:
        held.update(pod.clients)
    clients = sum(1 for connections in held.values() if connections) or 1
    return [sum(count / held[client] for client, count in pod.clients.items() if count) / clients for pod in pods]


def spread(at: float, pods: Sequence[Pod]) -> Spread:
    """How it is now. Pods that are being drained are not among them."""
    return Spread(
        at,
        tuple(sum(pod.clients.values()) for pod in pods),
        tuple(share * len(pods) for share in shares(pods, pods)),
    )
