"""Failed calls that are retried by the channel's service config (gRPC's proposal A6): which, when, how often."""

import random

import pytest
import trio

from echo.rpc import Status
from echo.rpc.backoff import JITTER
from echo.rpc.testing import memory_channel_to
from tests.support.attempts import KINDS, PREVIOUS, Flaky, exchange, fails, retrying
from tests.support.services import CODEC, UNARY, call, on_both_loops, unary


@pytest.mark.parametrize("name", KINDS)
@on_both_loops
async def test_no_caller_notices_that_three_calls_in_ten_fail(name: str) -> None:
    """With five attempts, one call in 400 still fails; with this seed, none of 200 does, and some need all five."""

    luck = random.Random(30)
    flaky = Flaky()
    flaky.next = lambda: Status.UNAVAILABLE if luck.random() < 0.3 else None
    calls = 200
    async with flaky.channel(retrying(5, "0.0001s")) as channel:
        expected = b"a b" if KINDS[name].client_streaming else b"a"
        assert [await exchange(channel, name, KINDS[name]) for _ in range(calls)] == [expected] * calls
    assert flaky.attempts.count("") == calls
    assert 0.25 < 1 - calls / len(flaky.attempts) < 0.35
    for before, attempt in zip(flaky.attempts, flaky.attempts[1:], strict=False):
        assert attempt in ("", str(int(before or 0) + 1))
    assert max(flaky.attempts) == "4"


@on_both_loops
async def test_the_policy_sets_the_number_of_attempts_and_the_last_failure_is_raised() -> None:
    flaky = Flaky(*[Status.UNAVAILABLE] * 3, (Status.UNAVAILABLE, None))
    async with flaky.channel(retrying(3)) as channel:
        await fails(channel, Status.UNAVAILABLE)
        assert flaky.attempts == ["", "1", "2"]


async def test_other_statuses_are_not_retried() -> None:
    flaky = Flaky(Status.INTERNAL, Status.UNAVAILABLE, Status.ABORTED)
    async with flaky.channel(retrying(5, "0.001s", "UNAVAILABLE", "ABORTED")) as channel:
        await fails(channel, Status.INTERNAL)
        assert await unary(channel, "One", b"x") == b"x"
    assert flaky.attempts == ["", "", "1", "2"]


async def test_a_caller_learns_how_many_attempts_it_took() -> None:
    flaky = Flaky(Status.UNAVAILABLE, Status.UNAVAILABLE)
    async with flaky.channel(retrying()) as channel:
        for expected in ("2", None):
            async with call(channel, "One", UNARY) as stream:
                await stream.send_message(b"x")
                assert await stream.recv_message() == b"x"
                assert stream.initial_metadata is not None
                assert stream.initial_metadata.get(PREVIOUS) == expected


async def test_without_a_service_config_nothing_is_retried() -> None:
    flaky = Flaky(Status.UNAVAILABLE)
    async with memory_channel_to(flaky.server, codec=CODEC) as channel:
        await fails(channel, Status.UNAVAILABLE)
    assert flaky.attempts == [""]


# When


async def test_pauses_grow_up_to_the_longest_and_vary_by_a_fifth(autojump_clock: trio.abc.Clock) -> None:
    seen: set[float] = set()
    for _ in range(20):
        flaky = Flaky(*[Status.UNAVAILABLE] * 4)
        async with flaky.channel(retrying(5, "1s", longest="3s")) as channel:
            await unary(channel, "One")
        for pause, expected in zip(flaky.pauses, (1, 2, 3, 3), strict=True):
            assert expected * (1 - JITTER) <= pause <= expected * (1 + JITTER) + 1e-6
        seen.update(flaky.pauses)
    assert len(seen) > 40


async def test_the_server_says_how_long_to_wait_to_the_millisecond(autojump_clock: trio.abc.Clock) -> None:
    flaky = Flaky(Status.UNAVAILABLE, (Status.UNAVAILABLE, "7250"), Status.UNAVAILABLE, (Status.UNAVAILABLE, "0"))
    async with flaky.channel(retrying(5, "1s")) as channel:
        await unary(channel, "One")
    assert flaky.pauses[1] == pytest.approx(7.25)
    assert 0.8 <= flaky.pauses[2] <= 1.2 + 1e-6  # From the beginning again.
    assert flaky.pauses[3] == pytest.approx(0)


@pytest.mark.parametrize("pushback", ["-1", "soon", "", "01", "1.5", "4294967296", "+1", "1 0"])
async def test_the_server_may_want_no_retry(pushback: str) -> None:
    flaky = Flaky((Status.UNAVAILABLE, pushback))
    async with flaky.channel(retrying()) as channel:
        await fails(channel, Status.UNAVAILABLE)
    assert flaky.attempts == [""]


async def test_a_pushback_does_not_make_another_status_retryable() -> None:
    flaky = Flaky((Status.INTERNAL, "10"))
    async with flaky.channel(retrying()) as channel:
        await fails(channel, Status.INTERNAL)


async def test_the_deadline_is_one_for_all_attempts(autojump_clock: trio.abc.Clock) -> None:
    flaky = Flaky((Status.UNAVAILABLE, "4000"), (Status.UNAVAILABLE, "4000"), (Status.UNAVAILABLE, "4000"))
    began = trio.current_time()
    async with flaky.channel(retrying()) as channel:
        await fails(channel, Status.DEADLINE_EXCEEDED, r"\(the last attempt ended UNAVAILABLE: not now\)", timeout=10)
    assert trio.current_time() - began == pytest.approx(10)
    assert flaky.attempts == ["", "1", "2"]


# Throttling


async def test_calls_are_not_retried_while_too_many_fail() -> None:
    flaky = Flaky()
    config = retrying(5, retryThrottling={"maxTokens": 10, "tokenRatio": 0.5})
    async with flaky.channel(config) as channel:
        flaky.failures = [Status.UNAVAILABLE] * 10
        await fails(channel, Status.UNAVAILABLE)  # Five attempts, of which the last leaves five tokens of ten.
        await fails(channel, Status.UNAVAILABLE)
        await fails(channel, Status.UNAVAILABLE)
        assert flaky.attempts == ["", "1", "2", "3", "4", "", ""]
        flaky.failures.clear()
        for _ in range(6):  # Three tokens are left; each success brings back half a one, and six are not enough.
            await unary(channel, "One")
        flaky.failures = [Status.UNAVAILABLE]
        await fails(channel, Status.UNAVAILABLE)
        for _ in range(3):
            await unary(channel, "One")
        flaky.attempts.clear()
        flaky.failures = [Status.UNAVAILABLE]
        await unary(channel, "One")
    assert flaky.attempts == ["", "1"]


async def test_a_failure_not_caused_by_the_server_takes_no_token() -> None:
    flaky = Flaky(*[Status.INVALID_ARGUMENT] * 20, Status.UNAVAILABLE)
    async with flaky.channel(retrying(5, retryThrottling={"maxTokens": 4, "tokenRatio": 0.1})) as channel:
        for _ in range(20):
            await fails(channel, Status.INVALID_ARGUMENT)
        assert await unary(channel, "One", b"x") == b"x"


async def test_a_server_that_wants_no_retries_takes_a_token_each_time() -> None:
    flaky = Flaky(*[(Status.INTERNAL, "-1")] * 2, Status.UNAVAILABLE)
    async with flaky.channel(retrying(5, retryThrottling={"maxTokens": 4, "tokenRatio": 0.1})) as channel:
        for _ in range(2):
            await fails(channel, Status.INTERNAL)
        await fails(channel, Status.UNAVAILABLE)
    assert flaky.attempts == ["", "", ""]
