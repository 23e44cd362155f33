"""gRPC's service config: timeouts, retries and more for each method, and balancing, as JSON (its "Service Config").

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
        "retryThrottling": {"maxTokens": 10, "tokenRatio": 0.1},
        "loadBalancingConfig": [{"round_robin": {}}],
        "healthCheckConfig": {"serviceName": "shop.Cart"}
    }

Instead of ``retryPolicy`` there may be a ``hedgingPolicy``, with ``maxAttempts``, ``hedgingDelay`` and
``nonFatalStatusCodes``. The last two fields count where the channel's own options, ``balance`` and ``health_service``,
say nothing. Unknown fields are ignored, as gRPC requires. The others are checked when the config is parsed, and errors
name the field.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, cast

from echo.rpc.json_object import JsonObject
from echo.rpc.policies import POLICIES, Balance
from echo.wire import Status

__all__ = ["HedgingPolicy", "MethodConfig", "RetryPolicy", "RetryThrottling", "ServiceConfig"]

# The most attempts, whatever the service config says (A6, "Limits on Retries and Hedges").
MAX_ATTEMPTS: Final = 5


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
        balance: The channel's policy; None if not configured.
        health_service: The service whose health is watched if the policy spreads calls; None for none.
    """

    methods: Mapping[tuple[str, str], MethodConfig] = field(default_factory=dict)
    throttling: RetryThrottling | None = None
    balance: Balance | None = None
    health_service: str | None = None

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
        top = JsonObject("service config", given)
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
        throttling, health = top.child("retryThrottling"), top.child("healthCheckConfig")
        return cls(
            methods,
            None if throttling is None else _throttling(throttling),
            _balance(top),
            None if health is None or "serviceName" not in health else health.text("serviceName"),
        )


def _method_config(entry: JsonObject) -> MethodConfig:
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


def _throttling(given: JsonObject) -> RetryThrottling:
    max_tokens, ratio = given.positive("maxTokens"), given.positive("tokenRatio")
    if max_tokens > 1_000:  # gRPC's own limit.
        raise given.error("maxTokens", "is more than 1000")
    return RetryThrottling(max_tokens, ratio)


def _balance(top: JsonObject) -> Balance | None:
    """The first policy that is known; the field of old counts only without the new one."""
    known, policies = ", ".join(POLICIES), top.children("loadBalancingConfig")
    for policy in policies:
        if len(policy.names) != 1:
            raise policy.error("", "must have one field, the name of a policy")
        (name,) = policy.names
        if name in POLICIES:
            policy.child(name)  # It has no fields that would count here.
            return cast("Balance", name)
    if policies:
        raise top.error("loadBalancingConfig", f"names none of {known}")
    name = top.text("loadBalancingPolicy").lower()
    if name and name not in POLICIES:
        raise top.error("loadBalancingPolicy", f"{name!r:.60} is not one of {known}")
    return cast("Balance", name) if name else None
