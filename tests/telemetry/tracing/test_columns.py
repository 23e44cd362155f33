"""Spans that are encoded together are the same bytes as spans that are encoded one by one."""

from hypothesis import example, given
from hypothesis import strategies as st

from echo.telemetry.tracing.columns import column, numbers
from echo.telemetry.tracing.protobuf import head, heads

EIGHT = st.binary(min_size=8, max_size=8)
TIME = st.integers(0, 2**64 - 1)


@given(st.lists(st.tuples(EIGHT, EIGHT, EIGHT, EIGHT, TIME, TIME), min_size=1, max_size=5))
@example([(b"trace id", b"its rest", b"the span", b"a parent", 1_700_000_000_000_000_000, 2**64 - 1)])
def test_heads_made_together_are_those_made_one_by_one(
    values: list[tuple[bytes, bytes, bytes, bytes, int, int]],
) -> None:
    *ids, starts, ends = zip(*values, strict=True)
    first, last, span, parent = (column(b"".join(each), 0, 8) for each in ids)
    times = numbers(starts), numbers(ends)
    roots = [head(one + rest, own, None, start, end) for one, rest, own, _, start, end in values]
    children = [head(one + rest, own, over, start, end) for one, rest, own, over, start, end in values]
    assert list(heads((first, last), span, None, *times)) == roots
    assert list(heads((first, last), span, parent, *times)) == children
