"""How calls are distributed among the addresses of a channel: to the first that answers, or to all in turn."""

import math
import random
from abc import ABC, abstractmethod
from collections.abc import Collection, Sequence
from typing import Final, Literal, TypeAlias

from echo.rpc.resolve import MAX_ENDPOINTS
from echo.rpc.subchannel import Subchannel
from echo.transport import ClientSession

# Seconds after which the next address is tried besides the one that has not answered yet (RFC 8305 §5).
STAGGER: Final = 0.25

Balance: TypeAlias = Literal["pick_first", "round_robin"]


class Policy(ABC):
    """How calls are distributed among subchannels.

    Attributes:
        spreads: It wants all of them connected, not one.
    """

    spreads: bool

    @abstractmethod
    def choose(self, subchannels: Sequence[Subchannel], avoided: Collection[ClientSession]) -> Subchannel | None:
        """One that is ready; None if none is. Not one with an avoided connection, if there is another."""

    @abstractmethod
    def connect(self, subchannels: Sequence[Subchannel], eligible: Sequence[Subchannel], now: float) -> float:
        """Have some of the eligible ones connect; gives the time at which to be asked for more."""


class PickFirst(Policy):
    """All calls go to the first address that answers, until it does so no more.

    The addresses are tried in their order, each when the one before has failed, or has not answered for a moment.
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
                    other.disconnect()  # It was tried too, and came second.
        return self._chosen

    def connect(self, subchannels: Sequence[Subchannel], eligible: Sequence[Subchannel], now: float) -> float:  # noqa: D102
        if not eligible:
            return math.inf
        if now >= self._next or not any(subchannel.pending for subchannel in subchannels):
            eligible[0].connect()
            self._next = now + STAGGER
        return self._next


class RoundRobin(Policy):
    """Calls go to all addresses that can be reached, in turn."""

    spreads = True

    def __init__(self) -> None:
        self._turn = random.randrange(MAX_ENDPOINTS)  # noqa: S311 - so that not all clients begin with the same server

    def choose(self, subchannels: Sequence[Subchannel], avoided: Collection[ClientSession]) -> Subchannel | None:  # noqa: D102
        ready = [subchannel for subchannel in subchannels if subchannel.ready]
        if not ready:
            return None
        if avoided:
            # By chance: the next in turn would be the same one each time, and have the double share.
            others = [subchannel for subchannel in ready if subchannel.session not in avoided]
            return random.choice(others or ready)  # noqa: S311 - not for secrets
        self._turn += 1
        return ready[self._turn % len(ready)]

    def connect(self, subchannels: Sequence[Subchannel], eligible: Sequence[Subchannel], now: float) -> float:  # noqa: ARG002, D102
        for subchannel in eligible:
            subchannel.connect()
        return math.inf


POLICIES: Final[dict[str, type[Policy]]] = {"pick_first": PickFirst, "round_robin": RoundRobin}
