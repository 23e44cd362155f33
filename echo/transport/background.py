"""A nursery for a resource's own tasks, which does not wrap its user's exceptions in groups."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
from anyio.abc import TaskGroup


@asynccontextmanager
async def open_background() -> AsyncIterator[TaskGroup]:
    """A task group whose block raises what its body raised, not a group around it.

    Users of ``async with open_channel(...)`` see no nursery, and expect `GRPCError`, not a group. The same holds for
    Ctrl-C while the block waits for the group's tasks. If a task of the group failed as well, the group is raised, so
    that nothing is hidden.
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
        if len(group.exceptions) == 1:
            only: BaseException = group.exceptions[0]
            if only is raised or isinstance(only, KeyboardInterrupt):
                raise only from only.__cause__
        raise
