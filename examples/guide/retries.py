"""Retries of failed calls, as a service config asks for them."""

import anyio

from echo.rpc import GRPCError, Server, Status
from echo.rpc.testing import memory_channel_to
from examples.pb.todo.v1 import AddRequest, Todo, TodosStub
from examples.todo_server import Todos

# --8<-- [start:config]
SERVICE_CONFIG = {
    "methodConfig": [
        {
            "name": [{"service": "todo.v1.Todos", "method": "Add"}],  # Without a method: all of the service's.
            "timeout": "5s",  # For all attempts together; a call's own timeout can only shorten it.
            "retryPolicy": {
                "maxAttempts": 4,  # With the first one; 5 at most.
                "initialBackoff": "0.1s",
                "maxBackoff": "1s",
                "backoffMultiplier": 2,
                "retryableStatusCodes": ["UNAVAILABLE"],
            },
        }
    ]
}
# --8<-- [end:config]


class Busy(Todos):
    """Fails twice before it works."""

    attempts = 0

    async def add(self, add_request: AddRequest) -> Todo:
        """Add a to-do at the third attempt."""
        self.attempts += 1
        if self.attempts < 3:
            raise GRPCError(Status.UNAVAILABLE, "busy")
        return await super().add(add_request)


async def main() -> None:
    """Call a server that is busy at first."""
    async with memory_channel_to(Server([Busy()]), service_config=SERVICE_CONFIG) as channel:
        print(await TodosStub(channel).add(AddRequest("try again")))


if __name__ == "__main__":
    anyio.run(main, backend="trio")
