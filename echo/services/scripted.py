"""The echo services as their callers script them: metadata ``x-echo-NAME`` says how a call should behave.

`Scripting` gives each call with this metadata an observer, which records the call if asked to, and serves it with the
service's own handler on a `ScriptedStream`. Other calls are not affected.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from grpclib.const import Handler
from multidict import MultiDict

from echo.evidence import Recorder, Recording, report
from echo.rpc import Cardinality, GRPCError, ServerStream, Status
from echo.rpc.observed_service import Field, ServerCall
from echo.scripting import PREFIX, Ending, Script, ScriptError, parse_script, status_details
from echo.services.large import LargeResponses
from echo.services.scripted_stream import EndedError, Pad, ScriptedStream

REPORT: Final = "x-echo-report"

Method = Callable[[ScriptedStream, Script], Awaitable[None]]


class Scripting:
    """Gives scripted calls their observers: the ``observer_for`` of `echo.rpc.observed_service.ObservedService`.

    Args:
        recorder: Keeps the records.
        max_size: The largest response, in bytes.
        methods: By path, what serves scripted calls in place of the service's own method.
        pad: Pads a response.
    """

    def __init__(self, recorder: Recorder, max_size: int, methods: Mapping[str, Method], pad: Pad) -> None:
        self.recorder = recorder
        self.methods = methods
        self.pad = pad
        self.large = LargeResponses(max_size)
        self._max_size = max_size

    def __call__(self, call: ServerCall, fields: Sequence[Field]) -> "ScriptedCall":
        """As in `echo.rpc.observed_service.ChooseObserver`."""
        given = (
            (name.removeprefix(PREFIX), value)
            for name, value in call.request.metadata.items()
            if name.startswith(PREFIX)
        )
        try:
            script = parse_script(given, self._max_size)
        except ScriptError as error:
            return ScriptedCall(self, error, None, None)
        recording = None
        if script.call_id is not None or script.report:
            recording = self.recorder.begin(call, fields, script.call_id or "")
        return ScriptedCall(self, script, recording, self.methods.get(call.request.path))


@dataclass(frozen=True, slots=True)
class Plan:
    """How a call will end, decided when it begins.

    Attributes:
        ending: The status to end with; None leaves it to the handler.
        reset: RST_STREAM's code, to end with that instead.
        limit: How many responses to send first; None for no limit.
    """

    ending: Ending | None = None
    reset: int | None = None
    limit: int | None = None


class ScriptedCall:
    """The observer of a scripted call.

    Args:
        scripting: What made it.
        script: What the caller asks for, or the error in it.
        recording: Of the call, if it is recorded.
        method: Serves the call instead of the service's own method.
    """

    def __init__(
        self, scripting: Scripting, script: Script | ScriptError, recording: Recording | None, method: Method | None
    ) -> None:
        self._scripting = scripting
        self._script = script
        self._recording = recording
        self._method = method

    def half_closed(self) -> None:
        """The client sends no more."""
        if self._recording is not None:
            self._recording.half_closed()

    def stalled(self, seconds: float) -> None:
        """Sending waited this many seconds for the client to read more."""
        if self._recording is not None:
            self._recording.stalled(seconds)

    def over(self) -> None:
        """The call is over."""
        if self._recording is not None:
            self._recording.end()

    async def serve(self, stream: ServerStream[Any, Any], handler: Handler, *, announced: bool) -> None:
        """Serve the call as the script says.

        Raises:
            GRPCError: INVALID_ARGUMENT: one of the script's values is invalid.
        """
        script = self._script
        if isinstance(script, ScriptError):
            raise GRPCError(Status.INVALID_ARGUMENT, f"{PREFIX}{script}")
        plan = self._plan(script, handler.cardinality)
        scripting = self._scripting
        scripted = ScriptedStream(stream, script, plan.limit, scripting.pad, scripting.large, self._recording)
        if script.compress is not None:
            stream.compress(script.compress)
        if script.goaway and not script.after:
            stream.drain_connection()
        said: GRPCError | None = None
        try:
            if plan.limit == 0 and script.after is not None:
                await scripted.delay()
            else:
                await self._run(scripted, script, handler, announced=announced)
        except EndedError:
            pass
        except GRPCError as error:
            said = error
        if said is None and plan.reset is not None:
            await stream.reset(plan.reset)
            return
        if said is None and plan.ending is not None:
            details = status_details(plan.ending) if script.details else None
            said = GRPCError(plan.ending.status, plan.ending.message, details)
        await self._end(stream, script, said, scripted.sent)

    async def _run(self, scripted: ScriptedStream, script: Script, handler: Handler, *, announced: bool) -> None:
        """Run the call's handler."""
        if announced:
            await scripted.announce()
        await (handler.func(scripted) if self._method is None else self._method(scripted, script))
        await scripted.delay()
        if script.goaway:
            scripted.drain_connection()  # In case there were fewer responses than ``after``.

    def _plan(self, script: Script, cardinality: Cardinality) -> Plan:
        ending, reset, limit = script.ending(), script.reset, script.after
        if script.succeed_after is not None:
            assert self._recording is not None  # There is a call-id.
            attempt = self._recording.attempt
            if attempt > script.succeed_after:
                return Plan()
            if ending is None and reset is None:
                ending = Ending(Status.UNAVAILABLE, f"attempt {attempt}: the first {script.succeed_after} fail")
            limit = limit or 0
        if reset is not None:
            return Plan(None, reset, limit)
        single = not cardinality.server_streaming
        if ending is None or (ending.status is Status.OK and single):
            return Plan()  # OK needs the one response, and with that the call is over anyway.
        # A status replaces a single response, as if the handler had raised it.
        return Plan(ending, None, 0 if limit is None and single else limit)

    async def _end(
        self, stream: ServerStream[Any, Any], script: Script, said: GRPCError | None, responses: int
    ) -> None:
        """End the call with the error that it was given, or with OK."""
        status, message, details = (
            (Status.OK, None, None) if said is None else (said.status, said.message, said.details)
        )
        metadata: MultiDict[str | bytes] = MultiDict(script.trailers)
        if not stream.head_sent:  # Trailers-Only: there are no other headers.
            metadata.extend(script.headers)
        if script.report and self._recording is not None:
            metadata.add(REPORT, report(self._recording.record_if_ended(status, message, responses)))
        await stream.send_trailing_metadata(
            status=status, status_message=message, status_details=details, metadata=metadata
        )
