"""How servers of several workers start, or do not, and where they listen."""

import json
import os
import signal
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest
import trio

from echo.rpc import open_channel
from echo.workers import usable_cpus
from tests.support.gateway import http_get
from tests.support.process import PATIENCE, Echo, running
from tests.support.tcp import reserved_port
from tests.support.tls import Certificates
from tests.support.workers import GATEWAY, SERVE, first_workers, get_reply, rolled, serving, until, workers_of

pytestmark = pytest.mark.slow  # Each starts three processes and more.


@pytest.fixture(autouse=True)
async def patience() -> AsyncIterator[None]:
    with trio.fail_after(2 * PATIENCE):
        yield


async def test_workers_that_cannot_start_are_one_line_and_status_2(tmp_path: Path) -> None:
    async with running(*SERVE, GRPC_SERVER_CERT="nowhere.pem", GRPC_SERVER_KEY="nowhere.pem") as echo:
        assert await echo.status() == 2
    assert echo.stderr == "echo: GRPC_SERVER_CERT: 'nowhere.pem' cannot be read: No such file or directory\n"
    assert echo.stdout == ""


async def test_a_port_that_is_taken_is_reported_before_any_worker_starts() -> None:
    async with serving() as (_, port):
        async with running(*SERVE, "--grpc-server-port", str(port)) as second:
            assert await second.status() == 2
        assert "cannot listen on" in second.stderr
        assert len(second.stderr.splitlines()) == 1


STUCK = """
import os, pathlib, signal
if "ECHO_WORKER_CHANNEL" in os.environ:
    pathlib.Path(__file__).with_name("stuck").write_text(str(os.getpid()))
    signal.pause()
"""


@asynccontextmanager
async def starting(folder: Path, *arguments: str) -> AsyncIterator[tuple[Echo, int]]:
    """A program whose first worker gets no further than Python's own start, and that worker's process id."""
    (folder / "sitecustomize.py").write_text(STUCK)
    worker = trio.Path(folder / "stuck")

    async def is_starting() -> bool:
        return await worker.exists() and bool(await worker.read_text())

    async with running(*arguments, PYTHONPATH=str(folder)) as echo:
        await until(is_starting)
        yield echo, int(await worker.read_text())


@pytest.mark.parametrize("program", [SERVE, [*GATEWAY, "--workers", "2"]], ids=["serve", "gateway"])
async def test_sigterm_to_all_processes_during_the_start_is_no_failure_and_nothing_is_announced(
    program: list[str], tmp_path: Path
) -> None:
    async with starting(tmp_path, *program) as (echo, worker):
        echo.send(signal.SIGTERM)
        with suppress(ProcessLookupError):  # The parent may have ended it by now.
            os.kill(worker, signal.SIGTERM)  # As systemd does it.
        assert await echo.status() == 0
    assert echo.stdout == ""
    assert [json.loads(line)["event"] for line in echo.stderr.splitlines()] == ["stopping"]


async def test_a_scrape_before_any_worker_serves_finds_no_metrics_and_is_no_error(tmp_path: Path) -> None:
    with reserved_port() as port:
        flags = ["--metrics-bind", "127.0.0.1", "--metrics-port", str(port)]
        async with starting(tmp_path, *SERVE, *flags) as (echo, _):
            answer = await http_get(port, "/metrics")
            series = [line for line in answer.body.splitlines() if not line.startswith(b"#")]
            assert (answer.status, series) == (200, [b"target_info 1"])
            echo.send(signal.SIGTERM)
            assert await echo.status() == 0
    assert [json.loads(line)["event"] for line in echo.stderr.splitlines()] == ["stopping"]


async def test_up_refuses_workers() -> None:
    async with running("up", "--grpc-server-port", "0", "--http-port", "0", WORKERS="2") as echo:
        assert await echo.status() == 2
    assert echo.stderr == "echo: WORKERS: up is one process; run serve and gateway for workers\n"


async def test_one_worker_needs_no_parent() -> None:
    async with running(*SERVE, "--workers", "1") as echo:
        await echo.grpc_port()
        echo.send(signal.SIGHUP)
        assert await echo.status() == -signal.SIGHUP


async def test_auto_is_a_worker_for_each_cpu_and_always_has_a_parent() -> None:
    async with running(*SERVE[:-2], WORKERS="auto") as echo:
        await first_workers(echo, usable_cpus())
        await echo.grpc_port()
        assert len(workers_of(echo)) == usable_cpus()
        echo.send(signal.SIGHUP)
        await rolled(echo)
        echo.send(signal.SIGTERM)
        assert await echo.status() == 0


async def test_an_invalid_worker_channel_is_refused() -> None:
    async with running(*SERVE, ECHO_WORKER_CHANNEL="77") as echo:
        assert await echo.status() == 2
    assert echo.stderr == "echo: ECHO_WORKER_CHANNEL: '77' is not a channel; only echo itself sets this\n"


async def test_a_unix_socket_is_the_parent_s(tmp_path: Path) -> None:
    path = tmp_path / "echo.sock"
    async with running("serve", "--grpc-server-bind", f"unix:{path}", "--workers", "2") as echo:
        await echo.announced("grpc")
        async with open_channel(f"unix:{path}") as channel:
            assert await get_reply(channel) == "from server:hi"
            echo.send(signal.SIGHUP)
            await rolled(echo)
            assert await get_reply(channel) == "from server:hi"
        echo.send(signal.SIGTERM)
        assert await echo.status() == 0
    assert not path.exists()


async def test_tls_is_the_workers_and_a_roll_reads_certificates_again(tmp_path: Path) -> None:
    for name in ("old", "new"):
        (tmp_path / name).mkdir()
    old, new = Certificates(tmp_path / "old"), Certificates(tmp_path / "new")
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"

    def put(certificates: Certificates) -> None:
        cert.write_text(Path(certificates.server.cert).read_text())
        key.write_text(Path(certificates.server.key).read_text())

    async def ask(context: ssl.SSLContext, port: int) -> str:
        async with open_channel("127.0.0.1", port, tls=context, server_hostname="localhost") as channel:
            return await get_reply(channel)

    put(old)
    async with serving("--grpc-server-cert", str(cert), "--grpc-server-key", str(key)) as (echo, port):
        assert await ask(old.calling(), port) == "from server:hi"
        put(new)
        echo.send(signal.SIGHUP)
        await rolled(echo)
        assert await ask(new.calling(), port) == "from server:hi"
