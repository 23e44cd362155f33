"""gRPC's service config: what is to be done for the calls of each method, as JSON (gRPC's document "Service Config").

Read are the fields of ``methodConfig`` (proposal A6 has those of retries and hedging), and ``retryThrottling``:

    {
        "methodConfig": [{
            "name": [{"service": "shop.Cart", "method": "Add"}, {"service": "shop.Stock"}, {}],
            "timeout": "2.5s",
            "waitForReady": true,
            "maxRequestMessageBytes": 65536,
            "maxResponseMessageBytes": 65536,
            "retryPolicy": {
                "maxAttempts": 4,
                "initialBackoff": "0.1s",
                "maxBackoff": "1s",
                "backoffMultiplier": 2,
                "retryableStatusCodes": ["UNAVAILABLE"]
            }
        }],
        "retryThrottling": {"maxTokens": 10, "tokenRatio": 0.1}
    }

In place of ``retryPolicy`` there can be ``hedgingPolicy``, with ``maxAttempts``, ``hedgingDelay`` and
``nonFatalStatusCodes``. Unknown fields are ignored, as gRPC demands. The others are checked at once, and errors name
the field.
"""

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, TypeVar

from echo.wire import Status

__all__ = ["HedgingPolicy", "MethodConfig", "RetryPolicy", "RetryThrottling", "ServiceConfig"]

# More attempts than this are not made, whatever the service config says (A6, "Limits on Retries and Hedges").
MAX_ATTEMPTS: Final = 5

_DURATION: Final = re.compile(r"(?=\.?[0-9])([0-9]{0,12}(?:\.[0-9]{0,9})?)s")
_T = TypeVar("_T")


@dataclass(frozen=True)
class RetryPolicy:
    """A failed attempt is followed by another after a pause.

    Attributes:
        max_attempts: Attempts in all, the first included: 2 to 5.
        initial_backoff: Seconds before the second attempt, give or take a fifth.
        max_backoff: The longest pause.
        multiplier: By what the pause grows each time.
        codes: The statuses after which there is another attempt.
    """

    max_attempts: int
    initial_backoff: float
    max_backoff: float
    multiplier: float
    codes: frozenset[Status]


@dataclass(frozen=True)
class HedgingPolicy:
    """Attempts are made beside those that have not been answered yet; the first answer counts.

    Attributes:
        max_attempts: Attempts in all, the first included: 2 to 5.
        delay: Seconds between one and the next.
        codes: The statuses that do not end the call: the next attempt is made at once.
    """

    max_attempts: int
    delay: float
    codes: frozenset[Status]


@dataclass(frozen=True)
class MethodConfig:
    """What holds for the calls of a method.

    Attributes:
        timeout: Seconds a call may take; infinity for no limit.
        wait_for_ready: Whether calls wait for a connection that do not say so themselves; None for not said.
        max_request: Bytes of a message that is sent; None for no limit but the channel's.
        max_response: Bytes of a message that is received.
        policy: How the call is attempted again.
    """

    timeout: float = math.inf
    wait_for_ready: bool | None = None
    max_request: int | None = None
    max_response: int | None = None
    policy: RetryPolicy | HedgingPolicy | None = None


@dataclass(frozen=True)
class RetryThrottling:
    """When to stop attempting calls again because too many fail.

    Attributes:
        max_tokens: The tokens there are at first. A failed attempt takes one; at half of them or fewer, calls are not
            attempted again.
        token_ratio: The part of one that a successful call brings back.
    """

    max_tokens: float
    token_ratio: float


@dataclass(frozen=True)
class ServiceConfig:
    """A service config.

    Attributes:
        methods: By service and method; the method is empty for all others of a service, both for all other services.
        throttling: When to stop attempting calls again; None for never.
    """

    methods: Mapping[tuple[str, str], MethodConfig] = field(default_factory=dict)
    throttling: RetryThrottling | None = None

    def of(self, path: str) -> MethodConfig | None:
        """What holds for ``/package.Service/Method``; None for nothing."""
        service, _, method = path[1:].rpartition("/")
        methods = self.methods
        return methods.get((service, method)) or methods.get((service, "")) or methods.get(("", ""))

    @classmethod
    def parse(cls, given: str | Mapping[str, object]) -> "ServiceConfig":
        """Read a service config.

        Args:
            given: As JSON text, or as what ``json.loads`` makes of it.

        Raises:
            ValueError: It is invalid; the text names the field.
        """
        if isinstance(given, str):
            try:
                given = json.loads(given)
            except (ValueError, RecursionError) as error:
                raise ValueError(f"service config: {error}") from None
        top = _Object("service config", given)
        methods: dict[tuple[str, str], MethodConfig] = {}
        for entry in top.children("methodConfig"):
            config = _method_config(entry)
            for name in entry.children("name"):
                service, method = name.text("service"), name.text("method")
                if method and not service:
                    raise name.error("method", "needs a service as well")
                if (service, method) in methods:
                    raise name.error("", "is there twice")
                methods[service, method] = config
        throttling = top.child("retryThrottling")
        return cls(methods, None if throttling is None else _throttling(throttling))


def _method_config(entry: "_Object") -> MethodConfig:
    retry, hedging = entry.child("retryPolicy"), entry.child("hedgingPolicy")
    if retry is not None and hedging is not None:
        raise entry.error("hedgingPolicy", "excludes retryPolicy")
    policy: RetryPolicy | HedgingPolicy | None = None
    if retry is not None:
        policy = RetryPolicy(
            min(MAX_ATTEMPTS, retry.integer("maxAttempts", least=2)),
            retry.duration("initialBackoff", positive=True),
            retry.duration("maxBackoff", positive=True),
            retry.positive("backoffMultiplier"),
            retry.statuses("retryableStatusCodes", needed=True),
        )
    elif hedging is not None:
        policy = HedgingPolicy(
            min(MAX_ATTEMPTS, hedging.integer("maxAttempts", least=2)),
            hedging.duration("hedgingDelay") if "hedgingDelay" in hedging else 0.0,
            hedging.statuses("nonFatalStatusCodes", needed=False),
        )
    return MethodConfig(
        entry.duration("timeout") if "timeout" in entry else math.inf,
        entry.boolean("waitForReady") if "waitForReady" in entry else None,
        entry.integer("maxRequestMessageBytes", least=0) if "maxRequestMessageBytes" in entry else None,
        entry.integer("maxResponseMessageBytes", least=0) if "maxResponseMessageBytes" in entry else None,
        policy,
    )


def _throttling(given: "_Object") -> RetryThrottling:
    max_tokens, ratio = given.positive("maxTokens"), given.positive("tokenRatio")
    if max_tokens > 1_000:  # gRPC's own limit.
        raise given.error("maxTokens", "is more than 1000")
    return RetryThrottling(max_tokens, ratio)


class _Object:
    """A JSON object that knows where it stands; ``null`` counts as absent."""

    def __init__(self, where: str, given: object) -> None:
        self._where = where
        if not isinstance(given, Mapping):
            raise ValueError(f"{where}: {given!r:.60} is not an object")
        self._given = given

    def __contains__(self, name: str) -> bool:
        return self._given.get(name) is not None

    def error(self, name: str, what: str) -> ValueError:
        """An error about a field of this object, or about itself."""
        return ValueError(f"{self._path(name) if name else self._where}: {what}")

    def child(self, name: str) -> "_Object | None":
        value = self._given.get(name)
        return None if value is None else _Object(self._path(name), value)

    def children(self, name: str) -> list["_Object"]:
        values = self._typed(name, (list, tuple), "a list", default=())
        return [_Object(f"{self._path(name)}[{number}]", value) for number, value in enumerate(values)]

    def text(self, name: str) -> str:
        return self._typed(name, (str,), "a string", default="")

    def boolean(self, name: str) -> bool:
        return self._typed(name, (bool,), "true or false")

    def integer(self, name: str, *, least: int) -> int:
        value = self._given.get(name)
        if isinstance(value, str) and re.fullmatch(r"[0-9]{1,12}", value, re.ASCII):  # As JSON has 64-bit integers.
            value = int(value)
        if isinstance(value, bool) or not isinstance(value, (int, float)) or value != value // 1 or value < least:
            raise self._unfit(name, f"an integer of at least {least}")
        return int(value)

    def positive(self, name: str) -> float:
        value = self._given.get(name)
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value < math.inf:
            raise self._unfit(name, "a number above zero")
        return float(value)

    def duration(self, name: str, *, positive: bool = False) -> float:
        value = self._given.get(name)
        match = _DURATION.fullmatch(value) if isinstance(value, str) else None
        if match is None or (positive and not float(match[1])):
            raise self._unfit(name, f"a duration{' above zero' if positive else ''} in seconds, such as '0.5s'")
        return float(match[1])

    def statuses(self, name: str, *, needed: bool) -> frozenset[Status]:
        values = self._typed(name, (list, tuple), "a list of statuses", default=None if needed else ())
        if needed and not values:
            raise self.error(name, "is empty")
        return frozenset(self._status(name, value) for value in values)

    def _status(self, name: str, value: object) -> Status:
        known = {status.name: status for status in Status} | {status.value: status for status in Status}
        status = known.get(value) if isinstance(value, (str, int)) and not isinstance(value, bool) else None
        if status is None or status is Status.OK:
            raise self.error(name, f"{value!r:.60} is not a status that calls fail with")
        return status

    def _typed(self, name: str, types: tuple[type[_T], ...], what: str, default: _T | None = None) -> _T:
        value = self._given.get(name)
        if value is None and default is not None:
            return default
        if not isinstance(value, types):
            raise self._unfit(name, what)
        return value

    def _unfit(self, name: str, what: str) -> ValueError:
        value = self._given.get(name)
        return self.error(name, f"is missing, and must be {what}" if value is None else f"{value!r:.60} is not {what}")

    def _path(self, name: str) -> str:
        return f"service config: {name}" if self._where == "service config" else f"{self._where}.{name}"
