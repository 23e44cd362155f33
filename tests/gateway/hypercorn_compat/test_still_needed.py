"""Each upstream behaviour that `echo.gateway.hypercorn_compat` corrects, tested with stock Hypercorn and with ours.

A case is an input and a check of the result. Stock Hypercorn must show the fault, or else the correction is no longer
needed and can go; ours must not show it.
"""

from collections.abc import Awaitable, Callable
from pathlib import Path

import hypercorn.trio.run
import pytest
from hypercorn.trio.tcp_server import TCPServer

import echo.gateway.hypercorn_compat
from echo.gateway.hypercorn_compat import install
from tests.gateway.hypercorn_compat import symptoms_connection as connection
from tests.gateway.hypercorn_compat import symptoms_floods as floods
from tests.gateway.hypercorn_compat import symptoms_http as http
from tests.gateway.hypercorn_compat import symptoms_websocket as websocket
from tests.support.quiet_clock import QuietClock

Symptom = Callable[[], Awaitable[bool]]

CASES: list[tuple[str, str, Symptom]] = [
    ("containment", "a byte behind an upgrade", connection.a_byte_behind_an_upgrade),
    ("containment", "DATA after the response", connection.data_after_the_response),
    ("containment", "PRIORITY on idle streams", connection.priority_on_idle_streams),
    ("containment", "CONNECT without a path", connection.connect_without_a_path),
    ("outlet", "a client that takes nothing is kept", connection.a_client_that_takes_nothing_is_kept),
    ("outlet", "it holds up the end", connection.a_client_that_takes_nothing_holds_up_the_end),
    ("outlet", "trips through the scheduler", connection.a_send_is_a_trip_through_the_scheduler),
    ("outlet", "a cancelled send garbles HPACK", connection.a_cancelled_send_garbles_later_headers),
    ("liveness", "pings outlive WebSockets", connection.pings_outlive_their_websockets),
    ("liveness", "a silent WebSocket is kept", connection.a_silent_websocket_is_kept),
    ("liveness", "a long call is cut off", connection.a_long_call_is_cut_off_where_silent_websockets_are),
    ("endings", "open after its last response", connection.after_its_last_response_it_stays_open),
    ("endings", "open though idle", connection.an_idle_connection_stays_open),
    ("endings", "closed before its request", connection.a_connection_is_closed_before_its_first_request),
    ("tasks", "events for nobody", connection.who_has_something_for_an_application_that_has_ended_waits),
    ("tasks", "its own last event", connection.an_application_that_has_not_read_everything_waits_for_itself),
    ("tasks", "reset and run", floods.what_is_reset_at_once_runs),
    ("pace", "a turn for all", floods.handshakes_that_arrive_together_begin_in_one_turn),
    ("inbox", "one stream holds up another", connection.one_stream_holds_up_another),
    ("protocols", "no request over HTTP/2", http.a_connection_without_a_request_stays_open),
    ("http1", "the last Connection counts", http.only_the_last_connection_field_counts),
    ("http1", "the last Upgrade counts", http.only_the_last_upgrade_field_counts),
    ("http1", "Upgrade is no list", http.upgrade_is_not_read_as_a_list),
    ("http1", "HTTP/1.0 is upgraded", http.http10_is_upgraded),
    ("http1", "no reason", http.a_status_line_gives_no_reason),
    ("http1", "half-closed", connection.a_client_that_has_ended_its_side_gets_no_response),
    ("http1", "h2c without Connection", http.h2c_without_connection_upgrade),
    ("http1", "h2c without settings", http.h2c_without_settings),
    ("http1", "h2c with several settings", http.h2c_with_several_settings),
    ("http1", "h2c with cut settings", http.h2c_with_unsound_settings),
    ("http1", "h2c with forbidden settings", http.h2c_with_settings_that_may_not_be),
    ("floods", "a read at once", floods.all_frames_of_a_read_are_handled_at_once),
    ("floods", "resets", floods.resets_have_no_end),
    ("peer_settings", "unknown settings", floods.unknown_settings_are_kept),
    ("http2", "a stream too many", http.surplus_streams_end_the_others),
    ("http2", "left streams add up", http.streams_left_by_their_client_add_up),
    ("goaway", "no GOAWAY", http.an_idle_connection_ends_unannounced),
    ("http2", "not refused at the end", http.at_the_end_a_request_is_not_refused),
    ("http2", "a request too many", http.a_request_too_many_closes_everything),
    ("http2", "CONNECT for something else", http.any_connect_is_taken_for_a_websocket),
    ("http2", "dependencies add up", http.streams_to_depend_on_add_up),
    ("http2", "left by the client", http.a_stream_left_by_its_client_is_never_ended),
    ("http2", "left by the application", http.a_response_left_by_its_application_is_never_ended),
    ("http2", "busy after a refusal", http.a_request_refused_at_once_keeps_the_connection_busy),
    ("http2", "a close frame is lost", http.a_close_frame_is_lost_with_the_connection),
    ("http2", "no close frame at the end", http.no_close_frame_is_sent_at_the_end),
    ("wrong_protocol", "TLS to a plain port", http.tls_is_answered_in_plain_text),
    ("send_buffer", "it grows", http.a_buffer_grows_without_a_window),
    ("send_buffer", "a response waits forever", http.a_response_waits_for_a_window_for_ever),
    ("handshake", "our version is not told", websocket.another_version_is_not_told_ours),
    ("handshake", "refused without a word", websocket.a_refusal_says_nothing),
    ("handshake", "open after a refusal", websocket.after_a_refusal_the_socket_stays_open),
    ("websocket_stream", "early frames", websocket.what_comes_before_the_answer_fails),
    ("websocket_stream", "too big and collected", websocket.what_is_too_big_is_collected),
    ("websocket_stream", "no frame and no word", websocket.what_is_no_frame_is_not_told),
    ("websocket_stream", "missed late", websocket.a_client_that_has_closed_is_missed_late),
    ("websocket_stream", "its stream outlives it", websocket.a_closed_websocket_keeps_its_stream),
    ("websocket_stream", "a read at once", floods.all_websocket_frames_of_a_read_are_handled_at_once),
    ("websocket_stream", "an event for each message", websocket.each_message_is_an_event),
    ("websocket_stream", "a write for each message", websocket.each_message_is_a_write),
    ("frames", "1014", websocket.bad_gateway_is_a_protocol_error),
    ("frames", "their cost", websocket.a_frame_costs_much_more_than_it_must),
    ("frames", "compression", websocket.a_few_bytes_inflate_to_many),
]
cases = pytest.mark.parametrize(
    ("file", "shows"), [pytest.param(file, shows, id=f"{file}: {name}") for file, name, shows in CASES]
)


@cases
async def test_upstream_has_the_fault(
    file: str, shows: Symptom, clock: QuietClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(vars(hypercorn.trio.run), "TCPServer", TCPServer)
    assert await shows(), f"upstream has mended it: the change in {file}.py can go"


@cases
async def test_ours_has_not(file: str, shows: Symptom, clock: QuietClock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(vars(hypercorn.trio.run), "TCPServer", TCPServer)  # What is put back in the end.
    install()
    assert not await shows()


def test_every_file_that_says_what_it_corrects_has_a_case() -> None:
    folder = Path(echo.gateway.hypercorn_compat.__file__).parent
    correcting = {path.stem for path in folder.glob("*.py") if "\nUpstream" in path.read_text()}
    assert {file for file, _, _ in CASES} == correcting
