"""``com.gopay.echo.evidence.Evidence``: records of calls, to fetch and to watch.

It uses protobuf's message classes instead of betterproto's, since a record can have a thousand times and hundreds of
headers.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final

import anyio
from grpclib.const import Handler

from echo.evidence import Recorder, Recording
from echo.rpc import Cardinality, GRPCError, ServerStream, Status
from echo.services.protobuf import Messages

PACKAGE: Final = "com.gopay.echo.evidence"
PAUSE: Final = 0.05  # Seconds between two updates to a watcher, times the number of watchers.
MOST_WATCHERS: Final = 100
TIMES_OF_OTHERS: Final = 100  # How many messages' times the reply has for each attempt but the latest.


class EvidenceService:
    """The service.

    Args:
        recorder: Keeps the records.
        messages: Has the service's.
    """

    def __init__(self, recorder: Recorder, messages: Messages) -> None:
        self._recorder = recorder
        self._watchers = 0
        self._request: Any = messages(f"{PACKAGE}.GetRequest")
        self._record: Any = messages(f"{PACKAGE}.Record")

    def __mapping__(self) -> Mapping[str, Handler]:
        def handler(method: Callable[[Any], Awaitable[None]], cardinality: Cardinality) -> Handler:
            return Handler(method, cardinality, self._request, self._record)

        return {
            f"/{PACKAGE}.Evidence/Get": handler(self._get, Cardinality.UNARY_UNARY),
            f"/{PACKAGE}.Evidence/Watch": handler(self._watch, Cardinality.UNARY_STREAM),
        }

    async def _get(self, stream: ServerStream[Any, Any]) -> None:
        *others, latest = await self._attempts(stream)
        told = latest.record()
        told["other_attempts"] = [other.record(times=TIMES_OF_OTHERS) for other in others]
        await stream.send_message(self._record(**told))

    async def _watch(self, stream: ServerStream[Any, Any]) -> None:
        recording = (await self._attempts(stream))[-1]
        if self._watchers >= MOST_WATCHERS:
            raise GRPCError(Status.RESOURCE_EXHAUSTED, f"{MOST_WATCHERS} calls are being watched already")
        self._watchers += 1
        try:
            told = -1
            while True:
                change, over = recording.change, recording.over
                if change == told:  # Nothing was awaited since it was read, so no change can be missed.
                    await recording.changed.wait()
                    continue
                told = change
                await stream.send_message(self._record(**recording.record()))
                if over:
                    return
                with anyio.move_on_after(PAUSE * self._watchers):
                    await recording.ended()
        finally:
            self._watchers -= 1

    async def _attempts(self, stream: ServerStream[Any, Any]) -> Sequence[Recording]:
        request: Any = await stream.recv_message()
        attempts = self._recorder.attempts(request.call_id)
        if not attempts:
            raise GRPCError(Status.NOT_FOUND, "this instance has no record of a call with that call_id")
        return attempts
