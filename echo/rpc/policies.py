"""Load balancing policies: all calls to the first address that answers, or to all addresses in turn."""

import math
import random
from abc import ABC, abstractmethod
from collections.abc import Collection, Sequence
from typing import Final, Literal, TypeAlias

from echo.rpc.resolve import MAX_ENDPOINTS
from echo.rpc.subchannel import Subchannel
from echo.transport import ClientSession

# Seconds after which the next address is tried while the previous one has not answered (RFC 8305 §5).
STAGGER: Final = 0.25

Balance: TypeAlias = Literal["pick_first", "round_robin"]
"""`pick_first` makes all calls to the first address that answers, `round_robin` to each in turn."""


class Policy(ABC):
    """How calls are distributed among subchannels.

    Attributes:
        spreads: Whether it wants all of them connected, not just one.
    """

    spreads: bool

    @abstractmethod
    def choose(self, subchannels: Sequence[Subchannel], avoided: Collection[ClientSession]) -> Subchannel | None:
        """Choose a ready subchannel, or return None. One with an avoided connection is chosen only if all are."""

    @abstractmethod
    def connect(self, subchannels: Sequence[Subchannel], eligible: Sequence[Subchannel], now: float) -> float:
        """Connect some of the eligible subchannels; returns when it should be called again."""


class PickFirst(Policy):
    """All calls go to the first address that answers, for as long as its connection lasts.

    The addresses are tried in order, each when the previous one has failed or has not answered for `STAGGER` seconds.
    """

    spreads = False

    def __init__(self) -> None:
        self._chosen: Subchannel | None = None
        self._next = -math.inf

    def choose(self, subchannels: Sequence[Subchannel], avoided: Collection[ClientSession]) -> Subchannel | None:  # noqa: ARG002, D102
        if self._chosen is not None and self._chosen.ready:
            return self._chosen
        self._chosen = next((subchannel for subchannel in subchannels if subchannel.ready), None)
        if self._chosen is not None:
            for other in subchannels:
                if other is not self._chosen:
                    other.disconnect()  # It may have been tried as well, and come second.
        return self._chosen

    def connect(self, subchannels: Sequence[Subchannel], eligible: Sequence[Subchannel], now: float) -> float:  # noqa: D102
        if not eligible:
            return math.inf
        if now >= self._next or not any(subchannel.pending for subchannel in subchannels):
            eligible[0].connect()
            self._next = now + STAGGER
        return self._next


class RoundRobin(Policy):
    """Calls go to all reachable addresses in turn."""

    spreads = True

    def __init__(self) -> None:
        self._turn = random.randrange(MAX_ENDPOINTS)  # noqa: S311 - so that clients start with different servers

    def choose(self, subchannels: Sequence[Subchannel], avoided: Collection[ClientSession]) -> Subchannel | None:  # noqa: D102
        ready = [subchannel for subchannel in subchannels if subchannel.ready]
        if not ready:
            return None
        if avoided:
            # At random: the next in turn would always be the same one, and get twice its share.
            others = [subchannel for subchannel in ready if subchannel.session not in avoided]
            return random.choice(others or ready)  # noqa: S311 - not for secrets
        self._turn += 1
        return ready[self._turn % len(ready)]

    def connect(self, subchannels: Sequence[Subchannel], eligible: Sequence[Subchannel], now: float) -> float:  # noqa: ARG002, D102
        for subchannel in eligible:
            subchannel.connect()
        return math.inf


POLICIES: Final[dict[str, type[Policy]]] = {"pick_first": PickFirst, "round_robin": RoundRobin}
