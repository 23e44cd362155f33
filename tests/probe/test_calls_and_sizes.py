"""The checks of calls and sizes against each other's hops: each fault is reported by its own check and no other."""

from collections.abc import Callable

import pytest

from echo.probe.budget import Pace
from echo.probe.check import Check
from echo.probe.checks.balancing import Balancing
from echo.probe.checks.compression import Compression
from echo.probe.checks.concurrency import Concurrency
from echo.probe.checks.drain import Drain
from echo.probe.checks.header_size import HeaderSize
from echo.probe.checks.message_size import MessageSize
from echo.probe.checks.metadata import Metadata
from echo.probe.checks.retries import Retries
from echo.probe.checks.status import Status
from echo.probe.checks.stream_size import StreamSize
from echo.probe.finding import Outcome
from echo.probe.survey import Survey
from tests.probe import test_compression as compression
from tests.probe import test_concurrency as concurrency
from tests.probe import test_drain as drain
from tests.probe import test_header_size as header_size
from tests.probe import test_message_size as message_size
from tests.probe import test_metadata as metadata
from tests.probe import test_status as status
from tests.probe import test_stream_size as stream_size
from tests.probe.paths import path_through
from tests.probe.relays import Fault
from tests.probe.repeating import Repeat
from tests.support.quiet_clock import QuietClock

CHECKS: list[Check] = [
    *(Status(), Metadata(), HeaderSize(), MessageSize(), StreamSize(), Compression(), Retries()),
    *(Concurrency(), Balancing(), Drain()),
]
MIB = 1024 * 1024

# Each hop, and the check that must name it.
HOPS: list[tuple[str, Callable[[], Fault]]] = [
    ("status", status.ErrorPages),
    ("status", lambda: status.Rewrite("14", "13")),
    ("status", lambda: status.Lose("grpc-message")),
    ("status", lambda: status.Lose("grpc-status-details-bin")),
    ("status", status.SpoilMessages),
    ("metadata", metadata.DropUnderscores),
    ("metadata", lambda: metadata.DropUnderscores(up=False)),
    ("metadata", metadata.DropDots),
    ("metadata", metadata.Merge),
    ("metadata", lambda: metadata.Merge(up=False)),
    ("metadata", metadata.LowerCase),
    ("metadata", lambda: metadata.SpoilOctets(up=False)),
    ("header-size", lambda: header_size.RefuseLargeRequests(8_000)),
    ("header-size", lambda: header_size.SwallowLargeRequests(4_000)),
    ("header-size", lambda: header_size.RefuseLargeReplies(4_000, trailers=False)),
    ("header-size", lambda: header_size.RefuseLargeReplies(4_000, trailers=True)),
    ("message-size", lambda: message_size.RefuseLargeMessages(1 * MIB, up=True)),
    ("message-size", lambda: message_size.RefuseLargeMessages(1 * MIB, up=False)),
    ("stream-size", lambda: stream_size.CutStreams(5 * MIB, up=True)),
    ("stream-size", lambda: stream_size.CutStreams(5 * MIB, up=False)),
    ("compression", lambda: compression.Unpack(up=True)),
    ("compression", lambda: compression.Unpack(up=False)),
    ("compression", lambda: compression.LoseName(up=True)),
    ("compression", lambda: compression.LoseName(up=False)),
    ("compression", lambda: compression.LoseOffer(up=True)),
    ("compression", lambda: compression.Spoil(up=True)),
    ("compression", lambda: compression.Spoil(up=False)),
    ("compression", lambda: compression.AddContentEncoding(up=True)),
    ("compression", lambda: compression.AddContentEncoding(up=False)),
    ("retries", lambda: Repeat(["14"])),
    ("retries", lambda: Repeat(["14", "13"], resets=[2, 7])),
    ("concurrency", lambda: concurrency.Announce(10)),
    ("concurrency", lambda: concurrency.Queue(10)),
    ("concurrency", lambda: concurrency.Queue(10, turns=False)),
    ("concurrency", lambda: concurrency.Refuse(10)),
    ("drain", drain.CloseOnGoaway),
    ("drain", drain.ResetOnGoaway),
    ("drain", drain.KeepGoaway),
]


async def outcomes(fault: Fault | None = None, *, direct: bool = True, pace: Pace = Pace.QUICK) -> dict[str, Outcome]:
    async with path_through(fault, direct=direct, pace=pace) as path:
        report = await Survey(path, CHECKS).run()
    return {result.name: result.finding.outcome for result in report.results}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("check", "hop"), HOPS, ids=lambda value: value if isinstance(value, str) else getattr(value, "__name__", None)
)
async def test_each_fault_is_named_by_its_check_alone(
    check: str, hop: Callable[[], Fault], quiet_clock: QuietClock
) -> None:
    found = await outcomes(hop())
    named = [name for name, outcome in found.items() if outcome in (Outcome.BROKEN, Outcome.LIMITED)]
    assert named == [check], found
    assert [name for name, outcome in found.items() if outcome is Outcome.INCONCLUSIVE] == []


@pytest.mark.parametrize("direct", [True, False])
async def test_a_clean_path_survives_them_all(direct: bool, quiet_clock: QuietClock) -> None:
    assert set((await outcomes(direct=direct)).values()) == {Outcome.SURVIVED}
