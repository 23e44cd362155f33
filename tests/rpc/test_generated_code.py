"""Unchanged services and stubs of every generator that grpclib's and grpcio's users use."""

from functools import partial
from typing import Any

import anyio
import pytest

from echo.pb.com.gopay.echo.streaming import StreamingServerStub, StreamMessage
from echo.rpc.testing import memory_channel
from tests.support.generated import betterproto2, generated
from tests.support.makes import MAKES, Opening, call_in_all_four_ways
from tests.support.services import Run, on_both_loops


@pytest.mark.parametrize("opening", MAKES.values(), ids=MAKES)
def test_all_four_kinds_of_calls(run: Run, opening: Opening) -> None:
    generated()
    run(partial(call_in_all_four_ways, opening))


def test_a_bidirectional_call_by_a_stub_that_is_not_bound_says_what_to_do_instead() -> None:
    async def main() -> None:
        made = betterproto2()
        async with memory_channel([]) as channel:
            for call in (
                made.TodosStub(channel).chat([made.Todo()]),
                StreamingServerStub(channel).bidirectional_stream([StreamMessage()]),
            ):
                with pytest.raises(RuntimeError, match=r"echo\.rpc\.bind"):
                    await anext(call)

    anyio.run(main, backend="trio")


@on_both_loops
async def test_betterproto2_s_stubs_for_grpcio_are_awaited_in_an_event_loop() -> None:
    made = betterproto2()

    class Todos(made.TodosBase):  # type: ignore[misc, name-defined]
        async def add(self, message: Any) -> Any:
            return made.Summary(titles=[message.title])

    async with memory_channel([Todos()]) as channel:
        assert (await made.TodosSyncStub(channel).add(made.Todo(title="a"))).titles == ["a"]
