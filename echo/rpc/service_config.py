"""gRPC's service config: timeouts, retries and more for each method, as JSON (gRPC's document "Service Config").

These fields are used; proposal A6 defines those of retries and hedging:

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

Instead of ``retryPolicy`` there may be a ``hedgingPolicy``, with ``maxAttempts``, ``hedgingDelay`` and
``nonFatalStatusCodes``. Unknown fields are ignored, as gRPC requires. The others are checked when the config is parsed,
and errors name the field.
"""

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, TypeVar

from echo.wire import Status

__all__ = ["HedgingPolicy", "MethodConfig", "RetryPolicy", "RetryThrottling", "ServiceConfig"]

# The most attempts, whatever the service config says (A6, "Limits on Retries and Hedges").
MAX_ATTEMPTS: Final = 5

_DURATION: Final = re.compile(r"(?=\.?[0-9])([0-9]{0,12}(?:\.[0-9]{0,9})?)s")
_T = TypeVar("_T")


@dataclass(frozen=True)
class RetryPolicy:
    """Retries: a failed attempt is followed by another after a pause.

    Attributes:
        max_attempts: The most attempts, including the first: 2 to 5.
        initial_backoff: The first pause in seconds; each pause varies by up to a fifth.
        max_backoff: The longest pause in seconds.
        multiplier: The factor by which the pause grows each time.
        codes: The statuses that are retried.
    """

    max_attempts: int
    initial_backoff: float
    max_backoff: float
    multiplier: float
    codes: frozenset[Status]


@dataclass(frozen=True)
class HedgingPolicy:
    """Hedging: more attempts are made while earlier ones are unanswered; the first answer counts.

    Attributes:
        max_attempts: The most attempts, including the first: 2 to 5.
        delay: Seconds between attempts.
        codes: The statuses that do not end the call: the next attempt is made at once.
    """

    max_attempts: int
    delay: float
    codes: frozenset[Status]


@dataclass(frozen=True)
class MethodConfig:
    """The configuration of a method's calls.

    Attributes:
        timeout: Seconds a call may take; infinity for no limit.
        wait_for_ready: Whether calls wait for a connection, unless a call says otherwise; None if not configured.
        max_request: The largest message sent, in bytes; None for the channel's limit only.
        max_response: The largest message received, in bytes; None for the channel's limit only.
        policy: Retries or hedging; None for neither.
    """

    timeout: float = math.inf
    wait_for_ready: bool | None = None
    max_request: int | None = None
    max_response: int | None = None
    policy: RetryPolicy | HedgingPolicy | None = None


@dataclass(frozen=True)
class RetryThrottling:
    """When to suspend retries and hedging because too many attempts fail.

    Attributes:
        max_tokens: The number of tokens at the start, and at most. A failed attempt takes one; while half or fewer are
            left, calls are not attempted again.
        token_ratio: How many tokens a successful call returns.
    """

    max_tokens: float
    token_ratio: float


@dataclass(frozen=True)
class ServiceConfig:
    """A service config.

    Attributes:
        methods: By service and method. An empty method stands for the service's other methods, an empty service for
            all other services.
        throttling: When to suspend retries; None for never.
    """

    methods: Mapping[tuple[str, str], MethodConfig] = field(default_factory=dict)
    throttling: RetryThrottling | None = None

    def of(self, path: str) -> MethodConfig | None:
        """The configuration of ``/package.Service/Method``, or None."""
        service, _, method = path[1:].rpartition("/")
        methods = self.methods
        return methods.get((service, method)) or methods.get((service, "")) or methods.get(("", ""))

    @classmethod
    def parse(cls, given: str | Mapping[str, object]) -> "ServiceConfig":
        """Parse a service config.

        Args:
            given: JSON text, or the result of ``json.loads``.

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
                    raise name.error("", "is repeated")
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
    """A JSON object that knows its path, for error messages; ``null`` counts as absent."""

    def __init__(self, where: str, given: object) -> None:
        self._where = where
        if not isinstance(given, Mapping):
            raise ValueError(f"{where}: {given!r:.60} is not an object")
        self._given = given

    def __contains__(self, name: str) -> bool:
        return self._given.get(name) is not None

    def error(self, name: str, what: str) -> ValueError:
        """An error about a field of this object, or about the object if ``name`` is empty."""
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
        if isinstance(value, str) and re.fullmatch(r"[0-9]{1,12}", value, re.ASCII):  # As protobuf writes int64.
            value = int(value)
        if isinstance(value, bool) or not isinstance(value, (int, float)) or value != value // 1 or value < least:
            raise self._invalid(name, f"an integer of at least {least}")
        return int(value)

    def positive(self, name: str) -> float:
        value = self._given.get(name)
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value < math.inf:
            raise self._invalid(name, "a number above zero")
        return float(value)

    def duration(self, name: str, *, positive: bool = False) -> float:
        value = self._given.get(name)
        match = _DURATION.fullmatch(value) if isinstance(value, str) else None
        if match is None or (positive and not float(match[1])):
            raise self._invalid(name, f"a duration{' above zero' if positive else ''} in seconds, such as '0.5s'")
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
            raise self._invalid(name, what)
        return value

    def _invalid(self, name: str, what: str) -> ValueError:
        value = self._given.get(name)
        return self.error(name, f"is missing, and must be {what}" if value is None else f"{value!r:.60} is not {what}")

    def _path(self, name: str) -> str:
        return f"service config: {name}" if self._where == "service config" else f"{self._where}.{name}"
