"""Deadlines compared with each other and with grpclib's."""

import math

import pytest
import trio
from grpclib.metadata import Deadline as GrpclibDeadline

from echo.rpc import Deadline, Status
from echo.rpc.testing import memory_channel
from tests.support.services import ECHO, UNARY, BytesCodec, BytesStream, Run, Service, failure, on_both_loops, unary


async def test_deadlines_are_ordered_by_their_time(autojump_clock: trio.abc.Clock) -> None:
    early, late = Deadline.from_timeout(1), Deadline.from_timeout(2)
    assert early < late
    assert late > early
    assert early <= late
    assert late >= early
    assert early == Deadline.at(trio.current_time() + 1)
    assert early != late
    assert len({early, late, Deadline.at(trio.current_time() + 1)}) == 2
    assert min(late, early) is early
    assert late.time_remaining() == 2
    await trio.sleep(5)
    assert late.time_remaining() == 0
    assert early < late, "both have passed, one before the other"


async def test_grpclib_s_deadlines_compare_by_the_time_remaining(autojump_clock: trio.abc.Clock) -> None:
    ours, theirs = Deadline.from_timeout(10), GrpclibDeadline.from_timeout(1_000)
    assert ours < theirs
    assert theirs > ours
    assert not theirs < ours
    assert ours != theirs
    assert theirs != ours
    assert min(theirs, ours) is ours


async def test_a_deadline_compares_only_with_deadlines() -> None:
    deadline = Deadline.from_timeout(1)
    assert deadline != 1
    with pytest.raises(TypeError):
        assert deadline < 1


async def test_a_deadline_is_read_from_headers_as_in_grpclib(autojump_clock: trio.abc.Clock) -> None:
    deadline = Deadline.from_headers([("grpc-timeout", "5S"), ("grpc-timeout", "2S")])
    assert isinstance(deadline, Deadline)
    assert deadline.time_remaining() == 2
    assert Deadline.from_headers([]) is None


@on_both_loops
async def test_a_timeout_that_is_not_a_number_fails_its_own_call_and_no_other() -> None:
    async with memory_channel([ECHO], codec=BytesCodec()) as channel:
        with pytest.raises(ValueError, match=r"^timeout must be a number of seconds, not nan$"):
            await unary(channel, "One", timeout=math.nan)
        assert await unary(channel, "One", b"x") == b"x"


@pytest.mark.parametrize("timeout", [0, -1, 1e-9])
def test_a_call_whose_deadline_has_passed_does_not_reach_the_server(run: Run, timeout: float) -> None:
    served = []

    async def serve(stream: BytesStream) -> None:
        served.append(await stream.recv_message())
        await stream.send_message(b"reply")

    async def main() -> None:
        async with memory_channel([Service(One=(UNARY, serve))], codec=BytesCodec()) as channel:
            await unary(channel, "One", b"first")
            error = await failure(channel, "One", timeout=timeout)
            assert (error.status, error.message) == (Status.DEADLINE_EXCEEDED, "the deadline passed")
            await unary(channel, "One", b"last")
            assert channel.calls == 0

    run(main)
    assert served == [b"first", b"last"]
