"""Errors with details: objects that clients in every language know."""

from collections.abc import AsyncIterator

import anyio

from echo.pb.google.rpc import BadRequest, BadRequestFieldViolation
from echo.rpc import GRPCError, Status
from echo.rpc.error_details import ErrorDetails
from echo.rpc.testing import memory_channel
from examples.pb.todo.v1 import AddRequest, Todo, TodosBase, TodosStub, WatchRequest


# --8<-- [start:raise]
class Strict(TodosBase):
    """Reports which field is wrong."""

    async def add(self, add_request: AddRequest) -> Todo:
        """Refuse to-dos without a title."""
        if not add_request.title:
            violation = BadRequestFieldViolation("title", "must not be empty")
            raise GRPCError(Status.INVALID_ARGUMENT, "not a valid to-do", [BadRequest([violation])])
        return Todo(1, add_request.title)

    # --8<-- [end:raise]

    async def watch(self, watch_request: WatchRequest) -> AsyncIterator[Todo]:  # noqa: ARG002 - it is empty
        """Send one."""
        yield Todo(1, "a title")


async def main() -> None:
    """Print what is wrong."""
    # --8<-- [start:catch]
    async with memory_channel([Strict()], status_details_codec=ErrorDetails()) as channel:
        try:
            await TodosStub(channel).add(AddRequest())
        except GRPCError as error:
            for detail in error.details or []:
                if isinstance(detail, BadRequest):
                    for violation in detail.field_violations:
                        print(f"{violation.field}: {violation.description}")
    # --8<-- [end:catch]


if __name__ == "__main__":
    anyio.run(main, backend="trio")
