"""Programs in poor surroundings: a read-only root, no user entry, home, IPv6, standard streams or file descriptors."""

import os
import re
import resource
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from functools import cache
from pathlib import Path
from typing import TypeVar
from urllib.request import urlopen

import pytest
import trio

from echo.pb.com.gopay.echo import Message, ServerStub
from echo.rpc import bind, open_channel
from tests.support.process import PATIENCE, ROOT, Echo, command, environment, running, running_as
from tests.support.tcp import reserved_port

T = TypeVar("T")

UP = ["up", "--grpc-server-bind=127.0.0.1", "--grpc-server-port=0", "--http-bind=127.0.0.1", "--http-port=0"]
NOBODY = 65532  # The user of distroless images, who is not in /etc/passwd.
NO_IPV6 = ROOT / "tests" / "support" / "no_ipv6"


@pytest.fixture(autouse=True)
async def patience() -> AsyncIterator[None]:
    """A time limit, so that a test that waits in vain fails with a traceback."""
    with trio.fail_after(2 * PATIENCE):
        yield


async def in_thread(function: Callable[[], T]) -> T:
    return await trio.to_thread.run_sync(function, abandon_on_cancel=True)


async def works(port: int) -> bool:
    def read() -> bool:
        with urlopen(f"http://127.0.0.1:{port}/grpc/hi", timeout=PATIENCE) as response:
            return bool(response.read().endswith(b":from server:hi:success:true"))

    return await in_thread(read)


async def works_and_stops(echo: Echo, port: int) -> bool:
    worked = await works(port)
    echo.send(signal.SIGTERM)
    return worked and await echo.status() == 0


def redirected(how: str, *arguments: str) -> list[str]:
    return ["sh", "-c", f'exec "$@" {how}', "sh", *command(*arguments)]


# Nothing to write to


@cache
def may_remount() -> bool:
    remount = ["unshare", "--map-root-user", "--mount", "mount", "-o", "remount,bind,ro", "/"]
    try:
        return subprocess.run(remount, capture_output=True, check=False).returncode == 0
    except OSError:
        return False


@pytest.mark.third_party(may_remount, reason="a read-only root needs unshare(1) and the right to use it")
async def test_it_runs_on_a_read_only_root() -> None:
    script = f'mount -o remount,bind,ro / && ! touch {ROOT}/written 2>/dev/null && exec "$@"'
    line = ["unshare", "--map-root-user", "--mount", "sh", "-c", script, "sh", *command(*UP)]
    variables = environment()
    variables.pop("PYTHONDONTWRITEBYTECODE", None)
    async with running_as(line, variables) as echo:
        assert await works_and_stops(echo, await echo.http_port())
    assert not (ROOT / "written").exists()


# No user entry, no home


AS_NOBODY = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"]


@cache
def may_be_nobody() -> bool:
    """This process may become another user, and that one may read the checkout and run this Python."""
    run = [*AS_NOBODY, sys.executable, "-c", "import echo.cli"]
    try:
        return subprocess.run(run, cwd=ROOT, capture_output=True, check=False).returncode == 0
    except OSError:
        return False


@pytest.mark.third_party(may_be_nobody, reason="needs setpriv(1), the right to use it, and a checkout all may read")
async def test_any_user_may_run_it_without_an_entry_a_home_and_a_folder_to_write_to() -> None:
    variables = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)}
    async with running_as([*AS_NOBODY, *command(*UP)], variables, cwd=Path("/")) as echo:
        assert await works_and_stops(echo, await echo.http_port())
    assert "Traceback" not in echo.stderr


async def test_it_runs_with_an_empty_environment() -> None:
    async with running_as(command(*UP), {}) as echo:
        assert await works_and_stops(echo, await echo.http_port())


# No file descriptors


async def test_a_shortage_of_descriptors_is_one_warning_and_clients_are_served_after_it() -> None:
    async with running(*UP) as echo:
        port = await echo.http_port()
        assert await works(port)
        _, most = resource.prlimit(echo.pid, resource.RLIMIT_NOFILE)
        resource.prlimit(echo.pid, resource.RLIMIT_NOFILE, (3, most))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(works, port)
            await echo.logged("cannot accept connections")
            resource.prlimit(echo.pid, resource.RLIMIT_NOFILE, (most, most))
        assert await works_and_stops(echo, port)
    shortages = [line for line in echo.stderr.splitlines() if "Too many open files" in line]
    assert len(shortages) == 1
    assert "Traceback" not in echo.stderr


@pytest.mark.parametrize("most", [6, 8])
@pytest.mark.parametrize("program", ["serve", "gateway", "workers"])
async def test_too_few_descriptors_to_start_are_one_line_and_status_2(program: str, most: int) -> None:
    serve = ["serve", *UP[1:3]]
    arguments = {"serve": serve, "gateway": ["gateway", *UP[3:]], "workers": [*serve, "--workers=2"]}
    line = ["sh", "-c", f'ulimit -n {most} && exec "$@"', "sh", *command(*arguments[program])]
    async with running_as(line, environment()) as echo:
        assert await echo.status() == 2
        await echo.logged("\n")
    (said,) = echo.stderr.splitlines()
    assert re.fullmatch(rf"echo: (all {most} file descriptors are in use: .*|cannot .*: Too many open files)", said)


# No standard streams


async def test_with_standard_output_closed_the_log_says_where_it_listens() -> None:
    async with running_as(redirected(">&-", *UP), environment()) as echo:
        said = await echo.logged(r'"service": "gateway".*"port": (\d+)')
        assert await works_and_stops(echo, int(said[1]))


async def test_a_full_disk_under_standard_output_is_no_reason_to_stop() -> None:
    async with running_as(redirected(">/dev/full", *UP), environment()) as echo:
        said = await echo.logged(r'"service": "gateway".*"port": (\d+)')
        await echo.logged("cannot write to standard output.*No space left on device")
        assert await works_and_stops(echo, int(said[1]))
    assert "Exception ignored" not in echo.stderr


async def test_with_standard_error_closed_it_works_and_refuses() -> None:
    async with running_as(redirected("2>&-", *UP, "--log-level=debug"), environment()) as echo:
        assert await works_and_stops(echo, await echo.http_port())
    async with running_as(redirected("2>&-", "up", "--http-port=x"), environment()) as echo:
        assert await echo.status() == 2


@pytest.mark.parametrize(
    "flags", ["", "--nonsense", "serve --grpc-server-port=x", "--help", "serve --help", "--version"]
)
async def test_a_full_disk_under_both_streams_changes_no_exit_status_into_a_crash(flags: str) -> None:
    async with running_as(redirected(">/dev/full 2>/dev/full", *flags.split()), environment()) as echo:
        assert await echo.status() == 2


async def test_a_full_disk_under_the_help_is_reported_in_one_line() -> None:
    async with running_as(redirected(">/dev/full", "--help"), environment()) as echo:
        assert await echo.status() == 2
    assert echo.stderr == "echo: cannot write: No space left on device\n"


async def test_with_all_closed_no_connection_takes_the_place_of_a_standard_stream() -> None:
    with reserved_port() as port:
        await works_with_all_closed(port)


async def works_with_all_closed(port: int) -> None:
    flags = ["serve", "--grpc-server-bind=127.0.0.1", f"--grpc-server-port={port}", "--log-level=debug"]
    async with (
        running_as(redirected("<&- >&- 2>&-", *flags), environment()) as echo,
        open_channel("127.0.0.1", port, wait_for_ready=True) as channel,
        bind(ServerStub, channel) as stub,
    ):
        assert (await stub.get_reply(Message("hi"), timeout=PATIENCE)).response == "from server:hi"
        assert {await trio.Path(f"/proc/{echo.pid}/fd/{number}").readlink() for number in range(3)} == {
            trio.Path(os.devnull)
        }
        echo.send(signal.SIGTERM)
        assert await echo.status() == 0


# No IPv6


ipv4_only = pytest.mark.parametrize("how", ["family", "address"])


@ipv4_only
async def test_without_ipv6_the_defaults_work_and_localhost_is_what_it_can_be(how: str) -> None:
    async with running(
        *("up", "--grpc-server-port=0", "--http-port=0", "--http-bind=localhost"),
        NO_IPV6=how,
        PYTHONPATH=str(NO_IPV6),
    ) as echo:
        port = await echo.http_port()
        assert f"console: http://localhost:{port}/" in echo.stdout or f'"http://localhost:{port}/"' in echo.stdout
        assert await works_and_stops(echo, port)


@ipv4_only
async def test_without_ipv6_a_gateway_reaches_a_server_on_localhost(how: str) -> None:
    off = {"NO_IPV6": how, "PYTHONPATH": str(NO_IPV6)}
    async with running("serve", "--grpc-server-bind=localhost", "--grpc-server-port=0", **off) as server:
        flags = ["--http-bind=127.0.0.1", "--http-port=0", f"--grpc-server-port={await server.grpc_port()}"]
        async with running("gateway", *flags, **off) as echo:
            assert await works(await echo.http_port())


@pytest.mark.parametrize("program", ["serve", "gateway"])
@pytest.mark.parametrize("bound", ["::", "::1"])
@ipv4_only
async def test_without_ipv6_its_addresses_are_refused_in_one_clear_line(how: str, program: str, bound: str) -> None:
    flag = "--grpc-server-bind" if program == "serve" else "--http-bind"
    async with running(program, f"{flag}={bound}", NO_IPV6=how, PYTHONPATH=str(NO_IPV6)) as echo:
        assert await echo.status() == 2
        await echo.logged("\n")
    reason = {"family": "this machine has no IPv6", "address": "Cannot assign requested address"}[how]
    assert re.fullmatch(rf"echo: cannot listen on \[{bound}\]:\d+ \({flag}, .*\): {reason}\n", echo.stderr)
