"""A nursery for a resource's own tasks, which leaves the exceptions of its user alone."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
from anyio.abc import TaskGroup


@asynccontextmanager
async def open_background() -> AsyncIterator[TaskGroup]:
    """A task group whose block raises what its body raised, not a group around it.

    Whoever writes ``async with open_channel(...)`` did not ask for a nursery, and catches `GRPCError`, not a group. If
    a task of the group failed too, the group comes out after all: nothing is hidden.
    """
    raised: BaseException | None = None
    try:
        async with anyio.create_task_group() as tasks:
            try:
                yield tasks
            except BaseException as error:
                raised = error
                raise
    except BaseExceptionGroup as group:
        if raised is not None and group.exceptions == (raised,):
            raise raised from raised.__cause__
        raise
