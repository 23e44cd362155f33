"""``echo-grpc probe`` as a person runs it: a real process, in front of a real server."""

import json
import os
import pty
import select
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path
from time import monotonic
from typing import NoReturn

import pytest
import trio

from echo import __main__ as entry
from echo.cli import main
from echo.probe.formats import FORMATS
from echo.probe.table import CHECKS
from echo.rpc import Server
from echo.services import echo_services
from tests.support.serving import serving

PROBE = [sys.executable, "-m", "echo", "probe"]


def probe(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*PROBE, *arguments], capture_output=True, text=True, timeout=60, check=False, env=os.environ | variables
    )


async def probed(*arguments: str) -> subprocess.CompletedProcess[str]:
    """The same in front of a server of ours; ``{}`` is its port."""
    async with serving(Server(echo_services().services)) as port:
        return await trio.to_thread.run_sync(lambda: probe(*(argument.format(port) for argument in arguments)))


async def test_a_pipe_gets_plain_text_at_the_end_and_the_status_is_0() -> None:
    done = await probed("127.0.0.1:{}", "--quick", "--only", "http2")
    assert (done.returncode, done.stderr) == (0, "")
    assert "survived      http2" in done.stdout
    assert "\x1b" not in done.stdout


async def test_a_report_is_written_to_a_file_and_can_be_expected_later(tmp_path: Path) -> None:
    report = tmp_path / "report.json"
    arguments = ["127.0.0.1:{}", "--quick", "--only", "http2", "--format", "json", "--output", str(report)]
    assert (await probed(*arguments)).returncode == 0
    assert json.loads(report.read_text())["counts"]["survived"] == 1
    assert (await probed(*arguments, "--expect", str(report))).returncode == 0


@pytest.fixture
async def web_server() -> AsyncIterator[str]:
    """The address of something that answers in HTTP/1.1, and refuses everything."""

    async def refuse(stream: trio.SocketStream) -> None:
        await stream.receive_some()
        await stream.send_all(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
        await stream.aclose()

    async with trio.open_nursery() as nursery:
        (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
        await nursery.start(trio.serve_listeners, refuse, [listener])
        yield f"127.0.0.1:{listener.socket.getsockname()[1]}"
        nursery.cancel_scope.cancel()


async def test_what_came_out_other_than_expected_is_told_with_what_was_before(web_server: str, tmp_path: Path) -> None:
    earlier = tmp_path / "earlier.json"
    earlier.write_text('{"version":1,"checks":[{"name":"http2","outcome":"survived","limit":null}]}')
    arguments = [web_server, "--quick", "--only", "http2", "--expect", str(earlier)]
    done = await trio.to_thread.run_sync(lambda: probe(*arguments))
    assert (done.returncode, done.stderr) == (1, "worse than expected: http2 (broken, was survived)\n")


async def test_junit_fails_for_nothing_that_is_expected(web_server: str, tmp_path: Path) -> None:
    earlier = tmp_path / "earlier.json"
    arguments = [web_server, "--quick", "--only", "http2"]
    first = [*arguments, "--format", "json", "--output", str(earlier)]
    assert (await trio.to_thread.run_sync(lambda: probe(*first))).returncode == 1
    later = [*arguments, "--format", "junit", "--expect", str(earlier)]
    done = await trio.to_thread.run_sync(lambda: probe(*later))
    assert (done.returncode, done.stderr) == (0, "")
    assert 'failures="0"' in done.stdout
    assert "broken, as expected: " in done.stdout


async def test_a_terminal_s_encoding_that_lacks_a_character_does_not_lose_the_report(web_server: str) -> None:
    done = await trio.to_thread.run_sync(
        lambda: probe(web_server, "--quick", "--only", "http2", PYTHONIOENCODING="latin-1")
    )
    assert (done.returncode, done.stderr) == (1, "")
    assert "it answered \\u201cHTTP/1.1 400 Bad Request\\u201d" in " ".join(done.stdout.split())


def test_a_target_that_cannot_be_reached_is_one_line_and_status_3() -> None:
    done = probe("127.0.0.1:1", "--quick")
    assert (done.returncode, done.stderr) == (3, "echo: cannot reach 127.0.0.1:1: Connection refused\n")


def test_where_no_thread_can_be_started_for_a_look_up_the_limit_is_named(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def no_thread(*_: object, **__: object) -> NoReturn:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(trio.to_thread, "run_sync", no_thread)
    assert main(["probe", "localhost:1", "--quick"]) == 2
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert err.startswith("echo: no thread can be started: ")


async def test_a_direct_address_that_cannot_be_reached_is_named_after_the_report() -> None:
    done = await probed("127.0.0.1:{}", "--quick", "--only", "http2", "--direct", "127.0.0.1:1")
    assert "survived      http2" in done.stdout
    why = "cannot reach 127.0.0.1:1: Connection refused; what the server saw may be missing"
    assert (done.returncode, done.stderr) == (0, f"echo: --direct: {why}\n")


async def test_a_direct_address_that_is_not_an_echo_server_s_is_named_after_the_report() -> None:
    async with serving(Server([])) as other:
        done = await probed("127.0.0.1:{}", "--quick", "--only", "http2", "--direct", f"127.0.0.1:{other}")
    assert "survived      http2" in done.stdout
    why = f"127.0.0.1:{other} does not answer as an echo server (UNIMPLEMENTED: "
    assert done.returncode == 0
    assert done.stderr.startswith(f"echo: --direct: {why}")
    assert len(done.stderr.splitlines()) == 1


async def test_a_direct_address_that_can_be_reached_is_not_mentioned() -> None:
    done = await probed("127.0.0.1:{}", "--quick", "--only", "http2", "--direct", "127.0.0.1:{}")
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["echo"], ["TARGET", "HOST:PORT"]),
        (["a:1", "--only", "htttp2"], ["htttp2", "http2, trailers"]),
        (["a:1", "--only", "http2", "--skip", "http2"], ["--skip", "no check"]),
        (["a:1", "--skip", "none"], ["none", "http2, trailers"]),
        (["a:1", "--quick", "--long"], ["--quick", "--long"]),
        (["a:1", "--quick", "--idle", "1h"], ["--quick"]),
        (["a:1", "--idle", "soon"], ["--idle", "soon"]),
        (["a:1", "--header", "nothing"], ["--header", "nothing"]),
        (["a:1", "--gateway", "nothing"], ["--gateway", "nothing"]),
        (["a:1", "--gateway", "b:8080"], ["--gateway", "b:8080", "is not a URL"]),
        (["a:1", "--format", "pdf"], ["pdf", "junit"]),
        (["a:1", "--tls", "--ca", "/nowhere"], ["echo: --ca: '/nowhere' cannot be read"]),
        (["a:1", "--ca", "x"], ["--ca: only applies when --tls is true"]),
        (["https://a", "--cert", "x"], ["--cert: needs --key as well"]),
        (["https://a", "--grpc-client-key", "x"], ["--key: needs --cert as well"]),
        (["https://a", "--ca", "x", "--insecure"], ["--insecure: contradicts --ca"]),
        (["a:1", "--expect", "/nowhere"], ["--expect", "/nowhere"]),
        (["a:1", "--expect", "/dev/zero"], ["--expect", "/dev/zero", "is not a report"]),
        (["a:1", "--authority", "\udcff"], ["--authority", "udcff"]),
        (["a:1", "--output", "/nowhere/at/all"], ["--output", "/nowhere/at/all"]),
        ([], ["Missing argument 'TARGET'; see echo-grpc probe --help"]),
    ],
)
def test_an_invalid_command_line_is_one_line_and_status_2(
    arguments: list[str], words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["probe", *arguments]) == 2
    said = capsys.readouterr().err
    assert len(said.splitlines()) == 1
    assert all(word in said for word in words)


def test_a_log_level_that_does_not_exist_is_one_line_and_status_2() -> None:
    done = probe("127.0.0.1:1", LOG_LEVEL="loud")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("echo: LOG_LEVEL: 'loud' is not ")
    assert probe("127.0.0.1:1", LOG_LEVEL=" ").returncode == 3


@contextmanager
def on_a_terminal(*arguments: str) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    ours, theirs = pty.openpty()
    environment = os.environ | {"COLUMNS": "80", "LINES": "24", "TERM": "xterm"}
    process = subprocess.Popen([*PROBE, *arguments], stdout=theirs, stderr=theirs, env=environment)
    os.close(theirs)
    try:
        yield process, ours
    finally:
        process.kill()
        process.wait()
        os.close(ours)


def read_until(descriptor: int, wanted: bytes) -> bytes:
    """What the process wrote, until this is in it, or until its end."""
    text, until = b"", monotonic() + 20
    while wanted not in text and monotonic() < until and select.select([descriptor], [], [], 1.0)[0] is not None:
        try:
            text += os.read(descriptor, 65_536)
        except OSError:  # How Linux reports that the other end is closed.
            break
    return text


async def test_a_terminal_sees_a_live_table_and_ctrl_c_shows_what_is_known() -> None:
    async def silence(stream: trio.SocketStream) -> None:
        await stream.receive_some()
        await trio.sleep_forever()

    async with trio.open_nursery() as nursery:
        (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
        await nursery.start(trio.serve_listeners, silence, [listener])
        target = f"127.0.0.1:{listener.socket.getsockname()[1]}"
        with on_a_terminal(target, "--quick", "--only", "http2") as (process, terminal):
            seen = await trio.to_thread.run_sync(read_until, terminal, b"running")
            assert b"\x1b[?25l" in seen
            process.send_signal(signal.SIGINT)
            rest = await trio.to_thread.run_sync(read_until, terminal, b"\x00never")
            assert b"\x1b[?25h" in rest
            assert b"inconclusive  http2               It was stopped before it finished." in rest
            assert process.wait(10) == 4
        nursery.cancel_scope.cancel()


def test_help_lists_the_checks_and_every_format_is_offered(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["probe", "--help"]) == 0
    text = " ".join(capsys.readouterr().out.split())
    assert f"Checks: {', '.join(check.name for check in CHECKS)}" in text  # No line breaks a name.
    assert f"[{'|'.join(FORMATS)}]" in text


def test_commands_other_than_probe_do_not_load_it() -> None:
    code = "import sys, echo.cli; assert not any(name.startswith('echo.probe') for name in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], timeout=60, check=False).returncode == 0


def test_ctrl_c_while_the_command_is_still_being_loaded_shows_no_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted() -> NoReturn:
        raise KeyboardInterrupt

    monkeypatch.setattr(entry, "_command", interrupted)
    assert entry.main() == 130
