"""Lines of the access log: what they say in both forms, and what hostile contents cannot do to them."""

import io
import json
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from echo.access_log import AccessLog, Entry, trace_id
from echo.outlet import ATOMIC, Outlet

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
TEXTS = ("peer", "forwarded_for", "method", "path", "reason", "request_id", "trace_id")


def call() -> Entry:
    return Entry(
        "grpc",
        peer="127.0.0.1:4242",
        forwarded_for="10.0.0.1, 10.0.0.2",
        method="/com.gopay.echo.Server/GetReply",
        status="NOT_FOUND",
        reason='nothing "here"',
        seconds=0.00012345678,
        messages_in=1,
        messages_out=0,
        bytes_in=4,
        bytes_out=0,
        request_id="r-1",
        trace_id=TRACE,
    )


def written(entry: Entry, *, as_json: bool) -> str:
    stream = io.StringIO()
    AccessLog(Outlet(stream), as_json=as_json).write(entry)
    (line,) = stream.getvalue().splitlines()
    assert stream.getvalue() == line + "\n"
    return line


def test_json_is_one_line_in_the_form_of_the_log() -> None:
    event = json.loads(written(call(), as_json=True))
    assert list(event)[:4] == ["timestamp", "level", "logger", "event"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", event.pop("timestamp"))
    assert event == {
        "level": "info",
        "logger": "echo.access",
        "event": "call",
        "kind": "grpc",
        "peer": "127.0.0.1:4242",
        "forwarded_for": "10.0.0.1, 10.0.0.2",
        "method": "/com.gopay.echo.Server/GetReply",
        "status": "NOT_FOUND",
        "reason": 'nothing "here"',
        "seconds": 0.000123,
        "messages_in": 1,
        "messages_out": 0,
        "bytes_in": 4,
        "bytes_out": 0,
        "request_id": "r-1",
        "trace_id": TRACE,
    }


def test_text_is_one_line_for_people() -> None:
    time, _, rest = written(call(), as_json=False).partition(" ")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", time)
    assert rest == (
        f"[info     ] {'call':30} [echo.access] kind=grpc peer=127.0.0.1:4242"
        ' forwarded_for="10.0.0.1, 10.0.0.2" method=/com.gopay.echo.Server/GetReply status=NOT_FOUND'
        r' reason="nothing \"here\"" seconds=0.000123 messages_in=1 messages_out=0 bytes_in=4 bytes_out=0'
        f" request_id=r-1 trace_id={TRACE}"
    )


@pytest.mark.parametrize(
    ("entry", "event"),
    [
        (Entry("http", method="GET", path="/grpc/hi", status=200, seconds=0.5), "request"),
        (Entry("websocket", path="/ws/stream/bidirectional", status=1000, messages_in=2), "websocket"),
    ],
)
def test_requests_and_websockets_have_their_own_fields_and_none_of_the_others(entry: Entry, event: str) -> None:
    said = json.loads(written(entry, as_json=True))
    given = {name for name in entry.__struct_fields__ if getattr(entry, name) is not None}
    assert said["event"] == event
    assert set(said) == given | {"timestamp", "level", "logger", "event"}
    assert f"status={entry.status} " in written(entry, as_json=False) + " "


def saying(texts: list[str]) -> Entry:
    entry = Entry("grpc", status="OK")
    for name, text in zip(TEXTS, texts, strict=True):
        setattr(entry, name, text)
    return entry


HOSTILE = [
    'x"\n{"event":"forged"}',
    "\x1b[2J\x1b]0;title\x07",
    "\u202egnp.exe\u2066\u200b",
    "a\u2028b\u0085c\rd",
    "\ud800 lone",
    "a" * 100_000,
    "🙅" * 1_000,
    '"\\' * 500,
    "x status=OK",
    "",
]


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
@pytest.mark.parametrize("as_json", [True, False])
def test_hostile_contents_stay_one_short_line_that_can_be_shown(text: str, as_json: bool) -> None:
    line = written(saying([text] * len(TEXTS)), as_json=as_json)
    assert line.isprintable()
    assert len(line.encode()) < ATOMIC
    if as_json:
        assert json.loads(line)["status"] == "OK"
    else:
        assert re.findall(r'(?:[^ "]|"(?:[^"\\]|\\.)*")+', line).count("status=OK") == 1


@given(st.lists(st.text(st.characters(), max_size=400), min_size=len(TEXTS), max_size=len(TEXTS)), st.booleans())
def test_any_contents_do(texts: list[str], as_json: bool) -> None:
    line = written(saying(texts), as_json=as_json)
    assert line.isprintable()
    assert len(line.encode()) < ATOMIC


@contextmanager
def full_pipe() -> Iterator[tuple[int, Outlet]]:
    """One that has no room, and its outlet, which knows."""
    reader, writer = os.pipe()
    os.set_blocking(reader, False)
    with os.fdopen(writer, "w") as stream:
        outlet = Outlet(stream)
        while outlet.write_line(b"x" * 999 + b"\n"):
            pass
        outlet.dropped = 0
        yield reader, outlet
    os.close(reader)


@pytest.mark.parametrize("form", ["json", "text"])
def test_lines_that_nobody_read_are_counted_once_there_is_room_again(form: Literal["json", "text"]) -> None:
    with full_pipe() as (reader, outlet):
        log = AccessLog(outlet, as_json=form == "json")
        for _ in range(3):
            log.write(call())
        os.read(reader, 1_000_000)
        for _ in range(2):
            log.write(call())
        lines = os.read(reader, 1_000_000).decode().splitlines()
        assert len(lines) == 3
        if form == "json":
            told = json.loads(lines[1])
            assert (told["level"], told["event"], told["lines"]) == ("warning", "log lines were dropped", 3)
        else:
            assert lines[1].endswith("[warning  ] log lines were dropped         [echo.access] lines=3")


@pytest.mark.parametrize(
    ("traceparent", "expected"),
    [
        (f"00-{TRACE}-00f067aa0ba902b7-01", TRACE),
        (f"cc-{TRACE}-00f067aa0ba902b7-01-what-comes-later", TRACE),
        (f"00-{TRACE}-00f067aa0ba902b7", None),
        (f"00-{TRACE}x00f067aa0ba902b7-01-", None),
        ("", None),
        ("x" * 60, None),
        (None, None),
    ],
)
def test_a_trace_s_id_is_that_of_its_traceparent(traceparent: str | None, expected: str | None) -> None:
    assert trace_id(traceparent) == expected


def test_lines_that_were_held_are_as_many_when_they_are_lost() -> None:
    with full_pipe() as (reader, outlet):
        log = AccessLog(outlet, as_json=True)
        for _ in range(30):
            log.write(call(), hold=True)
        log.flush()
        assert outlet.dropped == 30
        os.read(reader, 1_000_000)
        log.write(call(), hold=True)
        log.write(call(), hold=True)
        log.flush()
        lines = [json.loads(line) for line in os.read(reader, 1_000_000).splitlines()]
        assert [line.get("lines") for line in lines] == [None, None, 30]
