"""gRPC's service config: valid and invalid configs, and their effects other than retries and hedging."""

import json
import math
from contextlib import suppress
from typing import Any

import anyio
import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

from echo.rpc import GRPCError, Server, Status
from echo.rpc.service_config import HedgingPolicy, MethodConfig, RetryPolicy, RetryThrottling, ServiceConfig
from echo.rpc.testing import memory_channel_to
from tests.support.fleet import a_fleet, shares, who
from tests.support.services import BIDI, CODEC, ECHO, BytesStream, Service, call, on_both_loops, unary

RETRY: dict[str, object] = {
    "maxAttempts": 4,
    "initialBackoff": "0.1s",
    "maxBackoff": "1s",
    "backoffMultiplier": 2,
    "retryableStatusCodes": ["UNAVAILABLE"],
}
ROUND_ROBIN: Any = {"loadBalancingConfig": [{"round_robin": {}}]}
HEDGING: dict[str, object] = {"maxAttempts": 3, "hedgingDelay": "0.5s", "nonFatalStatusCodes": ["INTERNAL"]}


def method(**fields: object) -> dict[str, object]:
    return {"methodConfig": [{"name": [{}], **fields}]}


def test_the_most_specific_name_wins() -> None:
    text = json.dumps(
        {
            "methodConfig": [
                {"name": [{}], "timeout": "1s"},
                {"name": [{"service": "a.B"}, {"service": "c.D"}], "timeout": "2s"},
                {"name": [{"service": "a.B", "method": "E"}], "timeout": "3.5s"},
            ]
        }
    )
    config = ServiceConfig.parse(text)
    paths = ["/x.Y/Z", "/a.B/F", "/c.D/F", "/a.B/E"]
    assert [config.of(path) for path in paths] == [MethodConfig(timeout) for timeout in (1, 2, 2, 3.5)]
    assert ServiceConfig.parse({}).of("/a.B/E") is None


def test_policies_and_throttling_are_read() -> None:
    throttling = {"maxTokens": 1000, "tokenRatio": 0.1}
    config = ServiceConfig.parse(method(retryPolicy=RETRY) | {"retryThrottling": throttling})
    assert config.of("/a/b") == MethodConfig(policy=RetryPolicy(4, 0.1, 1.0, 2.0, frozenset({Status.UNAVAILABLE})))
    assert config.throttling == RetryThrottling(1000, 0.1)
    config = ServiceConfig.parse(method(hedgingPolicy=HEDGING, waitForReady=True, maxRequestMessageBytes="10"))
    policy = HedgingPolicy(3, 0.5, frozenset({Status.INTERNAL}))
    assert config.of("/a/b") == MethodConfig(math.inf, True, 10, None, policy)
    assert ServiceConfig.parse(method(hedgingPolicy={"maxAttempts": 2})).of("/a/b") == MethodConfig(
        policy=HedgingPolicy(2, 0, frozenset())
    )


def test_statuses_may_be_numbers_and_fields_null_or_unknown() -> None:
    config = ServiceConfig.parse(
        {"stickiness": [{"x": {}}]} | method(retryPolicy=RETRY | {"retryableStatusCodes": [14]}, timeout=None)
    )
    assert config.of("/a/b") == MethodConfig(policy=RetryPolicy(4, 0.1, 1.0, 2.0, frozenset({Status.UNAVAILABLE})))


def test_the_balancing_policy_is_the_first_that_is_known() -> None:
    configs: list[dict[str, object]] = [
        {"loadBalancingConfig": [{"grpclb": {}}, {"round_robin": {}}, {"pick_first": {}}]},
        {"loadBalancingConfig": [{"round_robin": {}}], "loadBalancingPolicy": "pick_first"},
        {"loadBalancingPolicy": "ROUND_ROBIN"},
    ]
    for config in configs:
        assert ServiceConfig.parse(config).balance == "round_robin"
    assert ServiceConfig.parse({"loadBalancingConfig": []}).balance is None


def test_more_than_five_attempts_become_five() -> None:
    config = ServiceConfig.parse(method(retryPolicy=RETRY | {"maxAttempts": 100})).of("/a/b")
    assert config is not None
    assert isinstance(config.policy, RetryPolicy)
    assert config.policy.max_attempts == 5


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ("{", "service config: Expecting property name"),
        ("[]", "service config: [] is not an object"),
        ({"methodConfig": {}}, "service config: methodConfig: {} is not a list"),
        (method(timeout="1"), "methodConfig[0].timeout: '1' is not a duration in seconds, such as '0.5s'"),
        (method(timeout="-1s"), "methodConfig[0].timeout: '-1s' is not"),
        (method(timeout=1), "methodConfig[0].timeout: 1 is not"),
        (method(waitForReady="yes"), "methodConfig[0].waitForReady: 'yes' is not true or false"),
        (method(maxRequestMessageBytes=-1), "methodConfig[0].maxRequestMessageBytes: -1 is not an integer of at"),
        (method(maxResponseMessageBytes=1.5), "methodConfig[0].maxResponseMessageBytes: 1.5 is not an integer"),
        (method(retryPolicy=RETRY, hedgingPolicy=HEDGING), "methodConfig[0].hedgingPolicy: excludes retryPolicy"),
        (method(retryPolicy=[]), "methodConfig[0].retryPolicy: [] is not an object"),
        (method(retryPolicy=RETRY | {"maxAttempts": 1}), "retryPolicy.maxAttempts: 1 is not an integer of at least 2"),
        (method(retryPolicy=RETRY | {"maxAttempts": True}), "retryPolicy.maxAttempts: True is not an integer"),
        (method(retryPolicy=RETRY | {"maxAttempts": None}), "retryPolicy.maxAttempts: is missing, and must be an"),
        (method(retryPolicy=RETRY | {"maxAttempts": math.inf}), "retryPolicy.maxAttempts: inf is not an integer"),
        (method(retryPolicy=RETRY | {"initialBackoff": "0s"}), "retryPolicy.initialBackoff: '0s' is not a duration"),
        (method(retryPolicy=RETRY | {"maxBackoff": "1m"}), "retryPolicy.maxBackoff: '1m' is not a duration above zero"),
        (method(retryPolicy=RETRY | {"backoffMultiplier": 0}), "backoffMultiplier: 0 is not a number above zero"),
        (method(retryPolicy=RETRY | {"backoffMultiplier": math.nan}), "backoffMultiplier: nan is not a number above"),
        (method(retryPolicy=RETRY | {"retryableStatusCodes": []}), "retryableStatusCodes: is empty"),
        (method(retryPolicy=RETRY | {"retryableStatusCodes": ["OK"]}), "retryableStatusCodes: 'OK' is not a status"),
        (method(retryPolicy=RETRY | {"retryableStatusCodes": ["NO"]}), "retryableStatusCodes: 'NO' is not a status"),
        (method(hedgingPolicy=HEDGING | {"hedgingDelay": "s"}), "hedgingPolicy.hedgingDelay: 's' is not a duration"),
        ({"methodConfig": [{"name": [{"method": "b"}]}]}, "methodConfig[0].name[0].method: needs a service as well"),
        ({"methodConfig": [{"name": [{}, {"service": ""}]}]}, "methodConfig[0].name[1]: is repeated"),
        ({"methodConfig": [{"name": [{"service": 1}]}]}, "methodConfig[0].name[0].service: 1 is not a string"),
        ({"retryThrottling": {"maxTokens": 0, "tokenRatio": 1}}, "retryThrottling.maxTokens: 0 is not a number above"),
        ({"retryThrottling": {"maxTokens": 1_001, "tokenRatio": 1}}, "retryThrottling.maxTokens: is more than 1000"),
        ({"retryThrottling": {"maxTokens": 1}}, "retryThrottling.tokenRatio: is missing"),
        ({"loadBalancingConfig": [{"xds": {}}]}, "loadBalancingConfig: names none of pick_first, round_robin"),
        ({"loadBalancingConfig": [{}]}, "loadBalancingConfig[0]: must have one field, the name of a policy"),
        ({"loadBalancingConfig": [{"round_robin": 1}]}, "loadBalancingConfig[0].round_robin: 1 is not an object"),
        ({"loadBalancingPolicy": "grpclb"}, "loadBalancingPolicy: 'grpclb' is not one of pick_first, round_robin"),
        ({"healthCheckConfig": {"serviceName": 1}}, "healthCheckConfig.serviceName: 1 is not a string"),
    ],
)  # fmt: skip
async def test_an_invalid_field_is_named_when_the_channel_is_opened(config: Any, message: str) -> None:
    with pytest.raises(ValueError, match="service config: ") as raised:
        async with memory_channel_to(Server([]), service_config=config):
            pass
    assert message in str(raised.value)


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=5)
    | st.sampled_from(["1s", "OK", "a.B"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


def fields(*names: str) -> st.SearchStrategy[dict[str, Any]]:
    return st.dictionaries(st.sampled_from(names), VALUES, max_size=len(names))


POLICIES = st.fixed_dictionaries(
    {}, optional={name: VALUES | st.just(value) for name, value in (RETRY | HEDGING).items()}
)
ENTRIES = st.fixed_dictionaries(
    {},
    optional={
        "name": st.lists(fields("service", "method"), max_size=3) | VALUES,
        "retryPolicy": POLICIES,
        "hedgingPolicy": POLICIES,
        "timeout": VALUES,
        "waitForReady": VALUES,
        "maxRequestMessageBytes": VALUES,
    },
)


@given(
    st.fixed_dictionaries(
        {},
        optional={
            "methodConfig": st.lists(ENTRIES, max_size=3),
            "retryThrottling": fields("maxTokens", "tokenRatio"),
            "loadBalancingConfig": st.lists(fields("pick_first", "round_robin", "x"), max_size=2) | VALUES,
            "loadBalancingPolicy": VALUES | st.just("pick_first"),
            "healthCheckConfig": fields("serviceName") | VALUES,
        },
    )
    | VALUES
)
def test_any_input_is_a_service_config_or_an_error_that_names_the_place(given: Any) -> None:
    try:
        config = ServiceConfig.parse(given)
    except ValueError as error:
        assert str(error).startswith("service config: ")
        assert "\n" not in str(error)
    else:
        config.of("/a.B/c")


@given(st.text() | st.from_regex(r"[\[{\"a:1,}\]]{0,20}", fullmatch=True) | st.just("[" * 100_000))
def test_any_text_is_a_service_config_or_a_value_error(text: str) -> None:
    with suppress(ValueError):
        ServiceConfig.parse(text)


# What is done about it


async def test_a_method_s_timeout_ends_its_calls_unless_the_caller_s_is_shorter(
    autojump_clock: trio.abc.Clock,
) -> None:
    async def wait(stream: BytesStream) -> None:
        await anyio.sleep_forever()

    server = Server([Service(Wait=(BIDI, wait))], codec=CODEC)
    async with memory_channel_to(server, codec=CODEC, service_config=method(timeout="3s")) as channel:
        for timeout, expected in ((None, 3), (5, 3), (1, 1)):
            began = trio.current_time()
            async with call(channel, "Wait", BIDI, timeout=timeout) as stream:
                await stream.send_request()
                with pytest.raises(GRPCError) as raised:
                    await stream.recv_message()
            assert raised.value.status is Status.DEADLINE_EXCEEDED
            assert trio.current_time() - began == pytest.approx(expected)


async def test_a_method_s_calls_wait_for_a_server_unless_they_say_otherwise(autojump_clock: trio.abc.Clock) -> None:
    async with a_fleet("a", service_config=method(waitForReady=True)) as (fleet, channel):
        fleet["a"].down = True
        with pytest.raises(GRPCError) as raised:
            await who(channel, wait_for_ready=False)
        assert raised.value.status is Status.UNAVAILABLE
        async with trio.open_nursery() as nursery:
            nursery.start_soon(who, channel)
            await trio.sleep(5)
            fleet["a"].come_back()


async def test_a_method_s_messages_have_its_limits() -> None:
    server = Server([ECHO], codec=CODEC)
    async with memory_channel_to(server, codec=CODEC, service_config=method(maxRequestMessageBytes=3)) as channel:
        assert await unary(channel, "One", b"abc") == b"abc"
        with pytest.raises(GRPCError, match="the message has 4 bytes, more than the method's limit") as raised:
            await unary(channel, "One", b"abcd")
        assert raised.value.status is Status.RESOURCE_EXHAUSTED
    async with memory_channel_to(server, codec=CODEC, service_config=method(maxResponseMessageBytes=3)) as channel:
        assert await unary(channel, "One", b"abc") == b"abc"
        with pytest.raises(GRPCError) as raised:
            await unary(channel, "One", b"abcd")
        assert raised.value.status is Status.RESOURCE_EXHAUSTED


@pytest.mark.parametrize(
    ("options", "connected"),
    [
        ({"service_config": ROUND_ROBIN}, 2),
        ({"service_config": ROUND_ROBIN, "balance": "pick_first"}, 1),
        ({"service_config": {}}, 1),
    ],
)
@on_both_loops
async def test_the_service_config_may_name_the_policy_unless_the_channel_does(options: Any, connected: int) -> None:
    async with a_fleet("a", "b", **options) as (_, channel):
        await who(channel)
        await shares(channel, 4)
        assert channel.connections == connected
