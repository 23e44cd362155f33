"""The console's modules that only compute, as the browser runs them: each case with its expected result."""

import json
import random

import pytest

from tests.support.browser import console, needs_browser
from tests.support.gateway import running_gateway

pytestmark = [needs_browser, pytest.mark.usefixtures("nothing_left")]


def judged(numbers: list[int]) -> list[int]:
    """Missing, out of order, duplicate: by definition."""
    seen: set[int] = set()
    late = twice = 0
    for number in numbers:
        if number in seen:
            twice += 1
        elif seen and number < max(seen):
            late += 1
        seen.add(number)
    return [max(seen, default=0) - len(seen), late, twice]


async def test_sequence_numbers_are_judged_as_by_definition() -> None:
    chance = random.Random(1)
    cases = [[chance.randrange(1, 12) for _ in range(chance.randrange(12))] for _ in range(500)]
    cases += [[], [1, 2, 3], [3, 2, 1], [1, 1, 1], [300_000], [300_000, 5, 5]]
    async with running_gateway() as gateway, console(gateway.port) as page:
        found = await page.evaluate(
            f"""import("/console/measures.js").then(({{ Sequence }}) => {json.dumps(cases)}.map((numbers) => {{
                const sequence = new Sequence();
                numbers.forEach((number) => sequence.take(number));
                return [sequence.missing, sequence.outOfOrder, sequence.duplicates];
            }}))"""
        )
    assert found == [judged(case) for case in cases]


async def test_percentiles_are_times_that_occurred() -> None:
    async with running_gateway() as gateway, console(gateway.port) as page:
        found = await page.evaluate(
            """import("/console/measures.js").then(({ RoundTrips }) => [1, 2, 100, 25_000].map((count) => {
                const trips = new RoundTrips();
                for (let ms = 1; ms <= count; ms += 1) trips.add(ms);
                return [...trips.percentiles(0.5, 0.99), trips.max, trips.count, trips.last(2)];
            }))"""
        )
    assert found == [
        [1, 1, 1, 1, [1]],
        [1, 2, 2, 2, [1, 2]],
        [50, 99, 100, 100, [99, 100]],
        [20_000, 24_900, 25_000, 25_000, [24_999, 25_000]],  # Of the last 10,000; the highest of all.
    ]


async def test_every_end_has_its_meaning() -> None:
    cases: list[tuple[dict[str, object], str, str]] = [
        ({"code": 1000}, "good", "ended OK"),
        ({"code": 1001, "reason": "going away"}, "fair", "shutting down"),
        ({"code": 1006, "idle": 60_000}, "bad", "Nothing had passed for 1 min 00 s: this is what an idle timeout"),
        ({"code": 1006}, "bad", "Something in between cut it"),
        ({"code": 1006, "opened": False}, "bad", "never opened"),
        ({"code": 1007}, "bad", "must be JSON"),
        ({"code": 1009}, "bad", "exceeded the limit"),
        ({"code": 1011, "reason": "UNAVAILABLE: a: b\nc"}, "bad", "UNAVAILABLE: the server went away, or can't be"),
        ({"code": 1011, "reason": "ABORTED"}, "bad", "ABORTED: the server aborted it."),
        ({"code": 1011, "reason": "gRPC connection failed"}, "bad", "behind it can't be reached"),
        ({"code": 1011, "reason": "oops"}, "bad", "ended in an error"),
        ({"code": 1000, "ours": True}, "good", "You closed it"),
        ({"code": None, "ours": True, "left": True}, "fair", "did not wait for the answer"),
        ({"code": 4000}, "fair", "the standard does not define"),
        ({"code": 1013}, "bad", "A proxy is overloaded"),
    ]
    ends = [{"reason": "", "opened": True, "idle": 10, "ours": False, "left": False} | end for end, _, _ in cases]
    async with running_gateway() as gateway, console(gateway.port) as page:
        found = await page.evaluate(
            f'import("/console/close.js").then((close) => {json.dumps(ends)}.map((end) => close.meaning(end)))'
        )
    assert isinstance(found, list)
    for (end, tone, words), meaning in zip(cases, found, strict=True):
        assert (meaning["tone"], words in meaning["text"]) == (tone, True), (end, meaning)
        assert meaning["title"]


async def test_lengths_of_time_and_sizes_read_well() -> None:
    times = [0.5, 0.9996, 1, 12.34, 99.96, 999.6, 1_000, 9_996, 59_949, 59_951, 200_000, 7_500_000]
    async with running_gateway() as gateway, console(gateway.port) as page:
        found = await page.evaluate(
            f"""import("/console/format.js").then((format) => [
                {json.dumps(times)}.map(format.duration), [0, 999, 1000, 999_949, 999_950].map(format.size),
                format.duration(NaN), format.count(10000), format.bytesOf("é✓"),
            ])"""
        )
    lengths = (
        "0.50 ms, 1.00 ms, 1.00 ms, 12.3 ms, 100 ms, 1.00 s, 1.00 s, 10.0 s, 59.9 s, 1 min 00 s, 3 min 20 s, 2 h 05 min"
    )
    sizes = "0 B, 999 B, 1.0 kB, 999.9 kB, 1.0 MB"
    assert found == [lengths.split(", "), sizes.split(", "), "\N{EN DASH}", "10,000", 5]


async def test_what_a_plain_request_tells_of_a_socket_that_did_not_open() -> None:
    arrived = {"http_version": "1.1", "host": "other", "own_origin": "http://other", "origin_allowed": True}
    cases: list[tuple[dict[str, object] | None, str]] = [
        (None, "The gateway can't be reached: plain HTTP to the same address gets no answer either."),
        ({"status": 502, "statusText": "Bad Gateway"}, "can't be reached (HTTP 502 Bad Gateway): a proxy answers"),
        ({"status": 504}, "can't be reached (HTTP 504): a proxy answers"),
        ({"status": 404}, "can't be reached (HTTP 404): what answers there is not this gateway's"),
        ({"status": 403}, "Something in front of the gateway refuses the route (HTTP 403)."),
        ({"status": 200, "redirectedTo": "https://login/"}, "redirects the route to https://login/;"),
        ({"status": 200}, "that is not this gateway's answer"),
        ({"status": 426}, "that is not this gateway's answer"),
        ({"status": 426, "arrived": arrived}, "Most likely the path removed the Upgrade header"),
        ({"status": 426, "arrived": arrived | {"http_version": "1.0"}}, "reach the gateway as HTTP/1.0"),
        (
            {"status": 426, "arrived": arrived | {"origin_allowed": False}},
            "https://page. By the Host and X-Forwarded-Proto that reach it, its own origin is http://other, and",
        ),
        ({"status": 426, "arrived": arrived | {"origin_allowed": False, "own_origin": None}}, "own origin is unknown,"),
    ]
    answers = [
        None if answer is None else {"statusText": "", "redirectedTo": "", "arrived": None} | answer
        for answer, _ in cases
    ]
    async with running_gateway() as gateway, console(gateway.port) as page:
        found = await page.evaluate(
            f"""import("/console/reach.js").then(
                (reach) => {json.dumps(answers)}.map((answer) => reach.conclude(answer, "https://page"))
            )"""
        )
    assert isinstance(found, list)
    for (answer, words), text in zip(cases, found, strict=True):
        assert words in text, (answer, text)
