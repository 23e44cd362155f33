"""Snapshots: encoded and decoded, added up, and what is kept of a process that has ended."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from echo.telemetry.snapshot import Distribution, Metric, Point, Snapshot, cumulative, decode, encode, merge

RESOURCE = (("service.name", "echo-grpc"), ("service.instance.id", "a"))
A, B = (("grpc.method", "a"),), (("grpc.method", "b"),)


def counter(*points: Point) -> Metric:
    return Metric("calls", "{call}", "Calls.", "counter", points=list(points))


def gauge(value: float, name: str = "open", **options: object) -> Metric:
    return msgspec.structs.replace(Metric(name, "", "Open.", "gauge", points=[Point((), value)]), **options)


def histogram(*distributions: Distribution, boundaries: tuple[float, ...] = (1.0, 2.0)) -> Metric:
    return Metric("seconds", "s", "How long.", "histogram", distributions=list(distributions), boundaries=boundaries)


def snapshot(*metrics: Metric, instance: str = "a", started: float = 1.0, taken: float = 2.0) -> Snapshot:
    return Snapshot((("service.name", "echo-grpc"), ("service.instance.id", instance)), started, taken, list(metrics))


def test_bytes_and_back() -> None:
    whole = snapshot(counter(Point(A, 1), Point((), 2.5)), gauge(3), histogram(Distribution(B, [1, 0, 2], 0.5)))
    assert decode(encode(whole)) == whole


@pytest.mark.parametrize("data", [b"", b"{}", b"\xc1", encode(snapshot())[:-1]])
def test_what_is_no_snapshot_is_refused(data: bytes) -> None:
    with pytest.raises(msgspec.MsgspecError):
        decode(data)


def test_points_of_the_same_attributes_are_added_and_others_are_kept() -> None:
    one = snapshot(counter(Point(A, 1), Point(B, 2)))
    two = snapshot(counter(Point(B, 40)), instance="b")
    assert merge([one, two]).metrics == [counter(Point(A, 1), Point(B, 42))]


def test_histograms_are_added_bucket_by_bucket() -> None:
    one = snapshot(histogram(Distribution(A, [1, 2, 3], 9.0)))
    two = snapshot(histogram(Distribution(A, [10, 20, 30], 90.0), Distribution(B, [0, 0, 1], 7.0)))
    merged = merge([one, two]).metrics
    assert merged == [histogram(Distribution(A, [11, 22, 33], 99.0), Distribution(B, [0, 0, 1], 7.0))]


def test_a_metric_that_only_some_have_is_shown() -> None:
    assert merge([snapshot(gauge(1)), snapshot(gauge(2, "other"))]).metrics == [gauge(1), gauge(2, "other")]


def test_gauges_are_added_unless_they_are_of_another_kind() -> None:
    for combine, expected in (("sum", 7), ("min", 2), ("max", 5)):
        merged = merge([snapshot(gauge(5, combine=combine)), snapshot(gauge(2, combine=combine))])
        assert merged.metrics[0].points == [Point((), expected)]


def test_the_resource_is_what_all_have_in_common_and_times_span_all() -> None:
    merged = merge([snapshot(instance="a", started=5, taken=6), snapshot(instance="b", started=3, taken=9)])
    assert (merged.resource, merged.started, merged.taken) == ((("service.name", "echo-grpc"),), 3, 9)


def test_one_snapshot_stays_as_it_is() -> None:
    only = snapshot(counter(Point(A, 1)))
    assert merge([only]) == only


def test_none_is_an_error() -> None:
    with pytest.raises(ValueError, match="no snapshot"):
        merge([])


def test_other_buckets_are_an_error_rather_than_a_wrong_sum() -> None:
    with pytest.raises(ValueError, match="seconds"):
        merge([snapshot(histogram()), snapshot(histogram(boundaries=(1.0,)))])


def test_of_an_ended_process_counters_and_histograms_are_kept() -> None:
    kept = [counter(Point(A, 1)), histogram(Distribution(A, [1, 0, 0], 0.5))]
    assert cumulative(snapshot(kept[0], gauge(1), kept[1])).metrics == kept


@given(st.lists(st.dictionaries(st.sampled_from("abc"), st.integers(0, 2**40)), min_size=1, max_size=5))
def test_merging_loses_nothing_in_whatever_order(workers: list[dict[str, int]]) -> None:
    snapshots = [snapshot(counter(*(Point((("m", name),), value) for name, value in one.items()))) for one in workers]
    for order in (snapshots, snapshots[::-1], [merge(snapshots[:2]), *snapshots[2:]]):
        merged = {point.attributes[0][1]: point.value for point in merge(order).metrics[0].points}
        for name in "abc":
            assert merged.get(name, 0) == sum(one.get(name, 0) for one in workers)
