"""What a script may contain, and the errors for anything else."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from echo.scripting import NAMES, Choice, Ending, Script, ScriptError, as_metadata, parse_script
from echo.wire import Status

MAX_SIZE = 4 * 2**20


def script(*fields: tuple[str, str], **named: str) -> Script:
    return parse_script([*fields, *((name.replace("_", "-"), value) for name, value in named.items())], MAX_SIZE)


def certain(status: Status, message: str | None = None) -> tuple[Choice, ...]:
    return (Choice(Ending(status, message), 100.0),)


@pytest.mark.parametrize(
    ("name", "value", "field", "means"),
    [
        ("delay", "500ms", "delay", 0.5),
        ("delay", "1h", "delay", 3600.0),
        ("count", "20", "count", 20),
        ("count", "0", "count", 0),
        ("count", "1000000", "count", 1_000_000),
        ("interval", "100ms", "interval", 0.1),
        ("interval", "0", "interval", 0.0),
        ("size", "64KiB", "size", 65_536),
        ("size", "4MiB", "size", MAX_SIZE),
        ("status", "14", "status", certain(Status.UNAVAILABLE)),
        ("status", "UNAVAILABLE", "status", certain(Status.UNAVAILABLE)),
        ("status", "unavailable", "status", certain(Status.UNAVAILABLE)),
        ("status", "14:please retry", "status", certain(Status.UNAVAILABLE, "please retry")),
        ("status", "14:", "status", certain(Status.UNAVAILABLE, "")),
        ("status", "5:a@b, c:d", "status", certain(Status.NOT_FOUND, "a@b, c:d")),
        ("status", "5:Gr%C3%BC%C3%9Fe 100%", "status", certain(Status.NOT_FOUND, "Grüße 100%")),
        (
            "status",
            "14@10,OK@90",
            "status",
            (Choice(Ending(Status.UNAVAILABLE), 10.0), Choice(Ending(Status.OK), 90.0)),
        ),
        ("status", "14@0.5", "status", (Choice(Ending(Status.UNAVAILABLE), 0.5),)),
        ("details", "true", "details", True),
        ("after", "3", "after", 3),
        ("reset", "CANCEL", "reset", 8),
        ("reset", "refused_stream", "reset", 7),
        ("reset", "8", "reset", 8),
        ("goaway", "true", "goaway", True),
        ("goaway", "false", "goaway", False),
        ("stall", "5s", "stall", 5.0),
        ("compress", "gzip", "compress", "gzip"),
        ("call-id", "A-b.c_9", "call_id", "A-b.c_9"),
        ("call-id", "x" * 64, "call_id", "x" * 64),
        ("report", "true", "report", True),
        ("set-header", "a=b=c", "headers", (("a", "b=c"),)),
        ("set-header", "a=", "headers", (("a", ""),)),
        ("set-trailer", "a-bin=AAE", "trailers", (("a-bin", b"\0\1"),)),
        ("set-trailer", "a-bin=AAE=", "trailers", (("a-bin", b"\0\1"),)),
    ],
)
def test_what_a_value_means(name: str, value: str, field: str, means: object) -> None:
    assert getattr(script((name, value)), field) == means


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("delay", "soon", "delay: 'soon' is not a duration (such as 10s, 1h30m or 500ms)"),
        ("delay", "-1s", "delay: '-1s' is not a duration (such as 10s, 1h30m or 500ms)"),
        ("delay", "61m", "delay: '61m' is too long (at most 1h)"),
        ("interval", "2h", "interval: '2h' is too long (at most 1h)"),
        ("stall", "3601s", "stall: '3601s' is too long (at most 1h)"),
        ("count", "many", "count: 'many' is not a number (0 to 1000000)"),
        ("count", "-1", "count: '-1' is not a number (0 to 1000000)"),
        ("count", "\u0661", "count: '\u0661' is not a number (0 to 1000000)"),
        ("count", "1000001", "count: '1000001' is too many (at most 1000000)"),
        ("after", "1000001", "after: '1000001' is too many (at most 1000000)"),
        ("count", "9" * 5_000, f"count: '{'9' * 77}...' is not a number (0 to 1000000)"),
        ("size", "5MiB", "size: '5MiB' is too large (at most 4MiB)"),
        ("size", "big", "size: 'big' is not a size (such as 4MiB, 64KiB, 1MB or a number of bytes)"),
        ("status", "17", "status: '17' is not a status (0 to 16, or a name such as UNAVAILABLE)"),
        ("status", "", "status: '' is not a status (0 to 16, or a name such as UNAVAILABLE)"),
        ("status", "14@60,0@60", "status: '14@60,0@60' has weights of 120 percent together (at most 100)"),
        ("status", ",".join(["1@1"] * 33), f"status: '{('1@1,' * 33)[:77]}...' has too many weights (at most 32)"),
        (
            "status",
            f"5:{'x' * 1_025}",
            f"status: '5:{'x' * 75}...' has a message that is too long (at most 1024 characters)",
        ),
        ("reset", "14", "reset: '14' is not an HTTP/2 error code (0 to 13, or a name such as CANCEL)"),
        ("goaway", "perhaps", "goaway: 'perhaps' is neither true nor false, nor on nor off"),
        ("compress", "br", "compress: 'br' is not gzip"),
        ("call-id", "", "call-id: '' is not 1 to 64 of the characters A-Z a-z 0-9 . _ -"),
        ("call-id", "x" * 65, f"call-id: '{'x' * 65}' is not 1 to 64 of the characters A-Z a-z 0-9 . _ -"),
        ("call-id", "a/b\n", "call-id: 'a/b\\n' is not 1 to 64 of the characters A-Z a-z 0-9 . _ -"),
        ("set-header", "a", "set-header: 'a' is not NAME=VALUE"),
        (
            "set-header",
            "grpc-status=0",
            "set-header: 'grpc-status=0' cannot be sent: metadata key 'grpc-status' is reserved",
        ),
        ("set-trailer", "a-bin=!", "set-trailer: 'a-bin=!' is not base64, as the value of a -bin name must be"),
        ("succeed-after", "2", "succeed-after: needs a call-id, to count attempts by"),
    ],
)
def test_the_errors_for_invalid_values(name: str, value: str, said: str) -> None:
    with pytest.raises(ScriptError) as raised:
        script((name, value))
    assert str(raised.value) == said
    assert raised.value.name == name


def test_a_value_given_twice_is_refused_unless_it_may_be() -> None:
    with pytest.raises(ScriptError, match="delay: '2s' comes after '1s'; give it once"):
        script(("delay", "1s"), ("delay", "2s"))
    assert script(("set-header", "a=1"), ("set-header", "a=2")).headers == (("a", "1"), ("a", "2"))


def test_there_are_at_most_32_scripted_headers() -> None:
    half = [("set-header", f"a{number}=") for number in range(16)], [("set-trailer", "b=")] * 16
    assert len(script(*half[0], *half[1]).trailers) == 16
    with pytest.raises(ScriptError, match="set-header: 33 scripted headers are too many"):
        script(*half[0], *half[1], ("set-trailer", "c="))


def test_unknown_names_and_octets_are_ignored() -> None:
    assert parse_script([("instance", "x"), ("delays", "1s"), ("delay", b"1s")], MAX_SIZE) == Script()


@pytest.mark.parametrize(
    ("point", "status"), [(0.0, 14), (0.099, 14), (0.1, 5), (0.299, 5), (0.3, None), (0.999, None)]
)
def test_weights_are_percent_of_the_calls(point: float, status: int | None) -> None:
    ending = script(status="14@10,5@20").ending(lambda: point)
    assert (None if ending is None else ending.status.value) == status


@given(name=st.sampled_from(sorted(NAMES)), value=st.text(max_size=60))
def test_any_value_is_read_or_refused_in_one_line(name: str, value: str) -> None:
    try:
        script((name, value), *([("call-id", "a")] if name == "succeed-after" else []))
    except ScriptError as error:
        assert str(error).startswith(f"{name}: ")
        assert str(error).isprintable()
        assert len(str(error)) < 400


@given(message=st.text(st.characters(exclude_categories=["Cs"]), max_size=100))
def test_a_status_message_of_any_characters_travels_as_metadata(message: str) -> None:
    ((name, value),) = as_metadata([("status", f"5:{message}")])
    assert name == "x-echo-status"
    assert value.isascii()
    assert value.isprintable()
    assert script(("status", value)).status == certain(Status.NOT_FOUND, message)
