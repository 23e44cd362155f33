"""A client and a server of `echo.wire` do anything their users may, in any order, and bytes are cut anywhere.

A model tracks what each side has sent, received and ended. Hypothesis's invariants, and the model's handling of events,
check what must hold at every step; `teardown` checks what must hold at the end.
"""

from typing import Final

import pytest
from h2.errors import ErrorCodes
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from echo.wire.head import Request, Trailers
from echo.wire.limits import Limits
from echo.wire.status import Status
from tests.support.modelled_pair import Call, ModelledPair

MAX_CALLS: Final = 8  # At once.
MAX_SIZE: Final = 40_000  # Of one message.

PICK = st.integers(0, 1_000)
SIZE = st.one_of(st.integers(5, 100), st.integers(5, MAX_SIZE))  # The smallest framed message is its prefix.


class TwoConnections(ModelledPair, RuleBasedStateMachine):
    """The machine whose rules hypothesis applies in any order."""

    @initialize(
        stream_window=st.sampled_from([1_000, 20_000, 65_536]),
        connection_window=st.sampled_from([65_535, 150_000]),
        max_output=st.sampled_from([1_000, 50_000]),
        max_unsent=st.sampled_from([0, 10_000]),
    )
    def connect(self, stream_window: int, connection_window: int, max_output: int, max_unsent: int) -> None:
        self.start(
            Limits(
                stream_window=stream_window,
                connection_window=connection_window,
                max_output=max_output,
                max_unsent=max_unsent,
                min_ping_interval=0,
            )
        )

    # What the client's user does

    @precondition(lambda self: sum(call.client.live for call in self.calls.values()) < MAX_CALLS)
    @rule(end=st.booleans(), arrives=st.booleans())
    def open(self, end: bool, arrives: bool) -> None:
        stream_id = self.client.open(Request("/s/m"), end=end)
        assert stream_id not in self.calls
        call = self.calls[stream_id] = Call(stream_id)
        call.client.known = True
        call.up.closed = end
        self.acts[True] += 1
        if arrives:
            self.take(to_server=True)
            self.carry(to_server=True, size=len(self.line[True]))

    @rule(pick=PICK, size=SIZE)
    def send_up(self, pick: int, size: int) -> None:
        for call in self._pick(pick, lambda call: call.client.live and not call.up.closed):
            self._send(self.client, call.id, call.up, size)

    @rule(pick=PICK)
    def half_close(self, pick: int) -> None:
        for call in self._pick(pick, lambda call: call.client.live and not call.up.closed):
            self.client.half_close(call.id)
            call.up.closed = True
            self.acts[True] += 1

    @rule(pick=PICK)
    def cancel(self, pick: int) -> None:
        for call in self._pick(pick, lambda call: call.client.live):
            self.client.reset(call.id, ErrorCodes.CANCEL)
            call.client.over = True
            self.acts[True] += 1

    # What the server's user does

    @rule(pick=PICK)
    def respond(self, pick: int) -> None:
        for call in self._pick(pick, lambda call: call.server.live and not (call.server.headed or call.down.closed)):
            self._respond(call)

    @rule(pick=PICK, size=SIZE)
    def send_down(self, pick: int, size: int) -> None:
        for call in self._pick(pick, lambda call: call.server.live and not call.down.closed):
            if not call.server.headed:
                self._respond(call)
            self._send(self.server, call.id, call.down, size)

    @rule(pick=PICK, status=st.sampled_from(Status))
    def finish(self, pick: int, status: Status) -> None:
        for call in self._pick(pick, lambda call: call.server.live and not call.down.closed):
            self._finish(call, Trailers(status, f"call {call.id}"))

    @rule(pick=PICK)
    def abort(self, pick: int) -> None:
        for call in self._pick(pick, lambda call: call.server.live):
            call.verdict = Trailers(Status.UNAVAILABLE, f"call {call.id} given up")
            call.aborted = True
            self.server.abort(call.id, call.verdict)
            call.down.closed = call.server.over = True
            self.acts[False] += 1

    @rule(pick=PICK)
    def refuse(self, pick: int) -> None:
        for call in self._pick(pick, lambda call: call.server.live):
            self.server.reset(call.id, ErrorCodes.REFUSED_STREAM)
            call.down.closed = call.server.over = True
            self.acts[False] += 1

    # What either does

    @rule(pick=PICK, part=st.sampled_from([1, 2, 3]), upwards=st.booleans())
    def acknowledge(self, pick: int, part: int, upwards: bool) -> None:
        def unread(call: Call) -> int:
            flow = call.up if upwards else call.down
            return len(flow.received) - flow.acknowledged

        for call in self._pick(pick, lambda call: unread(call) > 0):
            self._acknowledge(call, -(-unread(call) // part), upwards=upwards)

    @rule(by_client=st.booleans())
    def ping(self, by_client: bool) -> None:
        data = b"%8d" % len(self.pings[by_client])
        self.pings[by_client].append(data)
        self._side(by_client).ping(data)
        self.acts[by_client] += 1

    @rule(by_client=st.booleans())
    def goaway(self, by_client: bool) -> None:
        self._side(by_client).goaway(last_stream_id=2**31 - 1, debug=b"soon")  # Calls go on, also new ones.
        self.acts[by_client] += 1

    # What the line does

    @rule(to_server=st.booleans())
    def take(self, to_server: bool) -> None:
        super().take(to_server)

    @rule(to_server=st.booleans(), size=st.one_of(st.integers(1, 30), st.integers(1, 3 * MAX_SIZE)))
    def carry(self, to_server: bool, size: int) -> None:
        super().carry(to_server, size)

    @rule()
    def carry_everything(self) -> None:
        self._exchange()

    # What must hold

    @invariant()
    def each_side_knows_what_is_open(self) -> None:
        for call in self.calls.values():
            assert self.client.is_open(call.id) == call.client.live
            if not call.server.ending:
                assert self.server.is_open(call.id) == call.server.live

    @invariant()
    def what_waits_to_be_sent_is_bounded(self) -> None:
        for call in self.calls.values():
            for side in (self.client, self.server):
                assert side.unsent(call.id) <= self.limits.max_unsent + MAX_SIZE

    def teardown(self) -> None:
        if not self.calls:
            return
        self._exchange()
        for call in self.calls.values():
            if call.server.live and not call.server.ending:
                self._finish(call, Trailers(Status.OK))
        self._exchange()
        for call in self.calls.values():
            assert call.client.over, "the client was never told of the call's end"
            assert call.server.over or not call.server.known
            assert not call.up.blocked
            assert not call.down.blocked
        for side in (self.client, self.server):
            assert side.holds_nothing
            assert not side.has_output
        assert self.pings == {True: [], False: []}
        self._windows_are_whole()

    def _windows_are_whole(self) -> None:
        """Every byte was acknowledged once, even on reset streams, so more than a window's worth gets through."""
        self._no_byte_is_missing()
        call_id = self.client.open(Request("/s/m"))
        call = self.calls[call_id] = Call(call_id)
        call.client.known = True
        self._exchange()
        self._respond(call)
        total = 2 * self.limits.connection_window
        self.client.send_message(call_id, call.up.next_message(total))
        self.server.send_message(call_id, call.down.next_message(total))
        self.client.half_close(call_id)
        call.up.closed = True
        self._exchange()
        assert len(call.up.received) == len(call.down.received) == total
        self._finish(call, Trailers(Status.OK))
        self._exchange()
        assert call.client.over
        assert call.server.over
        self._no_byte_is_missing()  # Now that every window has been announced again; few examples send as much.

    def _no_byte_is_missing(self) -> None:
        for sender, receiver in ((self.client, self.server), (self.server, self.client)):
            assert sender.send_window + receiver.credit == self.limits.connection_window


TestTwoConnections = pytest.mark.slow(TwoConnections.TestCase)
TestTwoConnections.settings = settings(
    max_examples=200, stateful_step_count=50, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
