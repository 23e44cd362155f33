"""What ``--help`` shows: the commands, and each command's flags by topic."""

import re

import pytest

from echo.cli import main


def test_without_a_command_the_commands_are_shown(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 2
    shown = capsys.readouterr().err
    for name in ("serve", "gateway", "up"):
        assert f"\n  {name} " in shown


@pytest.mark.parametrize(
    ("program", "flags", "others"),
    [
        (
            "serve",
            ["--grpc-server-bind", "--grpc-server-cert", "--shutdown-grace"],
            ["--http-port", "--grpc-client-ca"],
        ),
        ("gateway", ["--http-port", "--grpc-client-ca", "--shutdown-grace"], ["--grpc-server-bind"]),
        ("up", ["--http-port", "--grpc-client-ca", "--shutdown-grace", "--grpc-server-bind"], []),
    ],
)
def test_help_shows_the_flags_that_a_program_uses_and_no_others(
    program: str, flags: list[str], others: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([program, "--help"]) == 0
    shown = capsys.readouterr().out
    assert all(f"{flag} " in shown for flag in flags)
    assert not any(f"{flag} " in shown for flag in others)
    assert "SHUTDOWN_GRACE, default 10s" in " ".join(shown.split())


def sections(shown: str) -> dict[str, str]:
    """The paragraphs of a help text by their headings."""
    return dict(re.findall(r"^(\w.*):\n((?:  .*\n)+)", shown, re.MULTILINE))


@pytest.mark.parametrize(
    ("program", "expected"),
    [
        (
            "serve",
            {
                "Listening": "--grpc-server-port",
                "TLS": "--grpc-server-cert",
                "Keepalive": "--grpc-server-keepalive",
                "Connection lifetime": "--grpc-server-max-connection-age",
                "Limits": "--grpc-max-message-size",
                "Floods and stalled peers": "--grpc-server-flood-rate",
                "Processes": "--workers",
                "Shutdown": "--shutdown-grace",
                "Logging": "--access-log",
                "Scripting": "--echo-scripting",
                "Services for other test clients": "--echo-interop",
                "Other": "--help",
            },
        ),
        (
            "gateway",
            {
                "Listening": "--http-port",
                "Calling the gRPC server": "--grpc-server-host",
                "TLS": "--http-cert",
                "Keepalive": "--http-ping-interval",
                "Connection lifetime": "--http-max-connection-idle",
                "Limits": "--grpc-stream-window",
                "Processes": "--workers",
                "Shutdown": "--shutdown-grace",
                "Logging": "--log-level",
                "Scripting": "--echo-scripting",
                "Other": "--help",
            },
        ),
    ],
)
def test_help_groups_flags_by_topic(program: str, expected: dict[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main([program, "--help"]) == 0
    shown = sections(capsys.readouterr().out)
    assert list(shown) == list(expected)
    for title, flag in expected.items():
        assert f"  {flag} " in shown[title] or f", {flag} " in shown[title]


def test_help_says_what_to_start_with_and_lists_it_first(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    shown = capsys.readouterr().out
    assert "Start with `echo-grpc up`" in shown
    assert re.findall(r"^  (\w+) ", sections(shown)["Commands"], re.MULTILINE) == [
        *("up", "serve", "gateway", "probe", "health")
    ]
