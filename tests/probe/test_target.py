"""Targets as given on the command line, and the time limits of a survey."""

import pytest

from echo.probe.budget import Budget, Pace
from echo.probe.target import Target, parse_target, parse_url


@pytest.mark.parametrize(
    ("text", "host", "port", "tls"),
    [
        ("localhost:8081", "localhost", 8081, False),
        ("[::1]:8081", "::1", 8081, False),
        ("http://echo", "echo", 80, False),
        ("https://echo.example", "echo.example", 443, True),
        ("https://echo.example:8443/", "echo.example", 8443, True),
    ],
)
def test_targets(text: str, host: str, port: int, tls: bool) -> None:
    assert parse_target(text) == Target(host, port, tls, "", text)


def test_host_and_port_may_mean_tls() -> None:
    assert parse_target("echo:443", tls=True).tls


@pytest.mark.parametrize(
    "text", ["echo", "", ":1", "echo:0", "echo:99999", "ftp://echo:1", "http://echo/path", "[::1", "a:b@c:1"]
)
def test_what_is_no_target(text: str) -> None:
    with pytest.raises(ValueError, match=r"^(has|is)"):
        parse_target(text)


@pytest.mark.parametrize("host", ["a..b", ".", "bücher..de", f"{64 * 'a'}.example"])
def test_a_name_that_no_host_can_have_is_refused(host: str) -> None:
    for parse, text in ((parse_target, f"{host}:443"), (parse_target, f"https://{host}"), (parse_url, f"wss://{host}")):
        with pytest.raises(ValueError, match="names no possible host"):
            parse(text)


def test_a_gateway_may_live_below_a_path_and_be_written_as_a_websocket_s() -> None:
    assert parse_url("wss://echo.example/echo/") == Target(
        "echo.example", 443, True, "/echo", "wss://echo.example/echo/"
    )


@pytest.mark.parametrize("text", ["localhost:8080", "localhost", ""])
def test_a_gateway_needs_a_scheme(text: str) -> None:
    with pytest.raises(ValueError, match="is not a URL \\(http://HOST:PORT or https://HOST:PORT\\)"):
        parse_url(text)


def test_the_pace_and_the_idle_time_make_the_budget() -> None:
    assert Budget.of(Pace.QUICK).total == 20
    assert Budget.of().total == 180
    assert Budget.of(Pace.LONG).idle == 3600
    assert Budget.of(Pace.DEFAULT, 600.0).total > 600
    assert list(Budget.of(Pace.QUICK, 6.0).rungs()) == [1, 2, 5, 6]
    with pytest.raises(ValueError, match="--quick"):
        Budget.of(Pace.QUICK, 60.0)
