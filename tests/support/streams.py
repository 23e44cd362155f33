"""Services whose handlers run as long as a test wants, and clients that fill their streams."""

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager

import trio
import trio.testing

from echo.pb.com.gopay.echo import Message, Response, ServerBase
from echo.pb.com.gopay.echo.streaming import StreamingServerBase, StreamMessage, StreamResponse
from tests.support.frames import TEXT, frame
from tests.support.quiet_clock import quiet
from tests.support.websocket import WebSocket

HELLO = '{"stream_id":"a","message":"hi"}'
MUCH = HELLO.replace("hi", "x" * 100_000)


class Unhurried(ServerBase):
    """A unary call that takes the number of seconds in its key."""

    def __init__(self) -> None:
        self.cancelled = False

    async def get_reply(self, message: Message) -> Response:
        try:
            await trio.sleep(float(message.message))
        except trio.Cancelled:
            self.cancelled = True
            raise
        return Response(success=True, response="at last")


class Patient(StreamingServerBase):
    """A bidirectional stream that echoes until it is told to stop reading (``deaf``), and an endless server stream.

    Attributes:
        started: Some handler has.
        ended: Some handler has.
        ended_at: When.
        cancelled: How many handlers were.
        sent: How many messages the server stream has sent.
    """

    def __init__(self) -> None:
        self.started = trio.Event()
        self.ended = trio.Event()
        self.ended_at = 0.0
        self.cancelled = 0
        self.sent = 0

    @contextmanager
    def _watch(self) -> Iterator[None]:
        self.started.set()
        try:
            yield
        except (trio.Cancelled, GeneratorExit):  # The latter if the runtime closes a generator.
            self.cancelled += 1
            raise
        finally:
            self.ended_at = trio.current_time()
            self.ended.set()

    async def bidirectional_stream(
        self, stream_message_iterator: AsyncIterator[StreamMessage]
    ) -> AsyncIterator[StreamResponse]:
        with self._watch():
            async for message in stream_message_iterator:
                if message.message == "deaf":
                    await trio.sleep_forever()
                yield StreamResponse(response=message.message)

    async def server_stream(self, stream_message: StreamMessage) -> AsyncIterator[StreamResponse]:
        assert stream_message.stream_id
        with self._watch():
            while True:
                self.sent += 1
                yield StreamResponse(sequence_number=self.sent, response="x" * 10_000)

    async def stands_still(self, elsewhere: float = 0.0) -> int:
        """Wait until the server stream is blocked; returns how many messages it sent. ``elsewhere`` as below."""
        return await standing_still(lambda: self.sent, elsewhere)


async def standing_still(count: Callable[[], int], elsewhere: float = 0.0) -> int:
    """Wait until a number stops changing; returns it.

    Args:
        count: Returns the number.
        elsewhere: Real seconds to wait for another program, whose state is not known here, to forward something.
    """
    before = -1
    while before != count():
        before = count()
        await quiet()
        if elsewhere:
            await trio.testing.wait_all_tasks_blocked(elsewhere)
    return before


async def send_until_stuck(socket: WebSocket, text: str, most: int = 1_000_000) -> int:
    """Send the message until sending stalls, in virtual time; returns how often it was sent."""
    data = frame(TEXT, text.encode())
    for sent in range(most):
        with trio.move_on_after(1) as waiting:
            await socket.stream.send_all(data)
        if waiting.cancelled_caught:
            return sent
    raise AssertionError("it is all taken")
