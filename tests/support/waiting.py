"""A method that waits until a test lets it go, and callers that note how their calls end."""

import anyio

from echo.rpc import Channel, GRPCError, Status
from tests.support.services import BytesStream, unary


class Handler:
    """A method that waits, and records how it ended."""

    def __init__(self) -> None:
        self.started = anyio.Event()
        self.cancelled = anyio.Event()
        self.release = anyio.Event()

    async def __call__(self, stream: BytesStream) -> None:
        try:
            self.started.set()
            await self.release.wait()
            await stream.send_message(b"done")
        except anyio.get_cancelled_exc_class():
            self.cancelled.set()
            raise


async def outcome(channel: Channel, name: str, outcomes: list[Status | bytes]) -> None:
    """Make a unary call, and add its reply or its status to the outcomes."""
    try:
        outcomes.append(await unary(channel, name))
    except GRPCError as error:
        outcomes.append(error.status)
