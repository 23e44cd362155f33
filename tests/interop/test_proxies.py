"""Our server behind nginx, haproxy and envoy: what goes through each, for our client and a stock one."""

from pathlib import Path

import pytest
import trio

from echo.rpc import Cardinality, Status
from tests.support.callers import EACH_CLIENT, Caller, Outcome, calling
from tests.support.leaks import settles
from tests.support.proxies import EACH_PROXY, behind
from tests.support.recording import (
    DEADLINE,
    RECEIVING,
    REPLIES,
    SENDING,
    SLEEPING,
    STATUS,
    STATUS_DETAILS,
    STATUS_MESSAGE,
    WAIT,
    Recorder,
    Seen,
)
from tests.support.tls import Certificates

pytestmark = [EACH_PROXY, EACH_CLIENT]

UNARY = Cardinality.UNARY_UNARY
CLIENT_STREAM = Cardinality.STREAM_UNARY
SERVER_STREAM = Cardinality.UNARY_STREAM
BIDI = Cardinality.STREAM_STREAM

MEGABYTE = "é" * 500_000
STATUS_TEXT = "nö, 不行 100% 🙅\n"
METADATA: dict[str, str | bytes] = {
    "initial-text": "some text",
    "initial-octets-bin": b"\x00\xff,;\n",
    "trailing-text": "~ more ~",
    "trailing-octets-bin": bytes(range(256)),
}


async def begun(recorder: Recorder) -> Seen:
    """The next call, once its handler waits."""
    seen = await recorder.calls.next()
    with trio.fail_after(30):
        await seen.waiting.wait()
    return seen


async def cancelled(seen: Seen) -> None:
    """The handler must be."""
    with trio.fail_after(30):
        await seen.ended.wait()
    assert seen.cancelled.is_set(), f"the handler was not cancelled, but ended by {seen.error!r}"


async def test_every_type_of_call_goes_through(make: str, client: str, tmp_path: Path) -> None:
    async with behind(make, tmp_path) as ours, calling(client, ours.port) as caller:
        for kind in Cardinality:
            outcome = await caller.call(kind, text="Grüße, 世界 🌍", count=3)
            assert (outcome.status, set(outcome.texts)) == (Status.OK, {"Grüße, 世界 🌍"})
            assert outcome.numbers == ([1, 2, 3] if kind.server_streaming else [3 if kind.client_streaming else 1])


async def test_metadata_and_trailers_go_through(make: str, client: str, tmp_path: Path) -> None:
    async with behind(make, tmp_path) as ours, calling(client, ours.port) as caller:
        for kind in Cardinality:
            outcome = await caller.call(kind, METADATA)
            seen = await ours.recorder.calls.next()
            assert {key: seen.metadata[key] for key in METADATA} == METADATA
            initial = {key: value for key, value in METADATA.items() if key.startswith("initial")}
            assert {key: value for key, value in outcome.initial.items() if key in METADATA} == initial
            assert outcome.trailing == {key: value for key, value in METADATA.items() if key not in initial}


async def test_a_status_with_its_message_and_details_goes_through(make: str, client: str, tmp_path: Path) -> None:
    asked: dict[str, str | bytes] = {
        STATUS: str(Status.FAILED_PRECONDITION.value),
        STATUS_MESSAGE: STATUS_TEXT.encode(),
        STATUS_DETAILS: b"\x08\x09\x12\x02no",
    }
    async with behind(make, tmp_path) as ours, calling(client, ours.port) as caller:
        for kind in Cardinality:
            outcome = await caller.call(kind, asked)
            assert (outcome.status, outcome.message) == (Status.FAILED_PRECONDITION, STATUS_TEXT)
            assert outcome.details == b"\x08\x09\x12\x02no"


async def test_a_deadline_goes_through_and_cancels_the_handler(make: str, client: str, tmp_path: Path) -> None:
    outcomes: dict[Cardinality, Status] = {}
    async with behind(make, tmp_path) as ours, calling(client, ours.port) as caller:

        async def call(kind: Cardinality) -> None:
            outcomes[kind] = (await caller.call(kind, {WAIT: SLEEPING}, timeout=DEADLINE)).status

        await caller.call(UNARY)
        await ours.recorder.calls.next()
        async with trio.open_nursery() as nursery:
            for kind in Cardinality:
                nursery.start_soon(call, kind)
            for _ in Cardinality:
                await (await ours.recorder.calls.next()).is_cancelled_in(DEADLINE)
        assert outcomes == dict.fromkeys(Cardinality, Status.DEADLINE_EXCEEDED)


@pytest.mark.parametrize(
    ("kind", "where"),
    [*((kind, SLEEPING) for kind in Cardinality), (CLIENT_STREAM, RECEIVING), (BIDI, RECEIVING), (BIDI, SENDING)],
)
async def test_a_client_that_cancels_is_seen_by_the_handler(
    make: str, client: str, kind: Cardinality, where: str, tmp_path: Path
) -> None:
    async with behind(make, tmp_path) as ours, calling(client, ours.port) as caller:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_call_open, caller, kind, where)
            seen = await begun(ours.recorder)
            assert not seen.ended.is_set()
            nursery.cancel_scope.cancel()
        await cancelled(seen)
        await settles(lambda: ours.server.calls, 0, "calls of the server")
        assert (await caller.call(UNARY)).texts == ["hi"]


async def _call_open(caller: Caller, kind: Cardinality, where: str) -> None:
    outcome = await caller.call(kind, {WAIT: where}, half_close=False)
    raise AssertionError(f"the call was to last: {outcome}")


async def test_a_client_that_vanishes_is_seen_by_the_handlers(make: str, client: str, tmp_path: Path) -> None:
    async with behind(make, tmp_path) as ours:
        async with calling(client, ours.port) as caller, trio.open_nursery() as nursery:
            for kind in Cardinality:
                nursery.start_soon(_call_open, caller, kind, SLEEPING)
            handlers = [await begun(ours.recorder) for _ in Cardinality]
            nursery.cancel_scope.cancel()
        for seen in handlers:
            await cancelled(seen)


async def test_a_megabyte_goes_through(make: str, client: str, tmp_path: Path) -> None:
    async with behind(make, tmp_path) as ours, calling(client, ours.port) as caller:
        for kind in Cardinality:
            outcome = await caller.call(kind, text=MEGABYTE, count=2)
            assert (outcome.status, set(outcome.texts)) == (Status.OK, {MEGABYTE})


async def test_thousands_of_messages_stay_in_order(make: str, client: str, tmp_path: Path) -> None:
    total = 5_000
    numbers = list(range(1, total + 1))
    async with behind(make, tmp_path) as ours, calling(client, ours.port) as caller:
        # The recorder fails the call at the first one out of order.
        assert (await caller.call(BIDI, count=total)).numbers == numbers
        assert (await caller.call(CLIENT_STREAM, count=total)).numbers == [total]
        assert (await caller.call(SERVER_STREAM, {REPLIES: str(total)})).numbers == numbers


async def test_three_hundred_calls_at_once_go_through(make: str, client: str, tmp_path: Path) -> None:
    outcomes: list[Outcome] = []
    async with behind(make, tmp_path) as ours:

        async def call(caller: Caller) -> None:
            outcomes.append(await caller.call(UNARY, count=3))

        async with calling(client, ours.port) as caller, trio.open_nursery() as nursery:
            for _ in range(300):
                nursery.start_soon(call, caller)
    assert [outcome.texts for outcome in outcomes] == [["hi"]] * 300


async def test_all_goes_through_over_tls_on_both_sides(make: str, client: str, tmp_path: Path) -> None:
    certificates = Certificates(tmp_path)
    async with behind(make, tmp_path, certificates=certificates) as ours:
        async with calling(client, ours.port, certificates) as caller:
            for kind in Cardinality:
                outcome = await caller.call(kind, METADATA, text=MEGABYTE, count=2)
                assert (outcome.status, set(outcome.texts)) == (Status.OK, {MEGABYTE})
                assert outcome.trailing["trailing-octets-bin"] == bytes(range(256))
                seen = await ours.recorder.calls.next()
                assert seen.metadata["initial-octets-bin"] == b"\x00\xff,;\n"
        async with calling(client, ours.port) as caller:
            assert (await caller.call(UNARY)).status is Status.UNAVAILABLE
