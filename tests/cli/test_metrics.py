"""The port of the metrics on the command line: what is refused, what is announced, and what is not there when off."""

import json
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator

import pytest

from echo.cli import main
from tests.support.metrics import scrape
from tests.support.process import running

SERVE = ["serve", "--grpc-server-bind", "127.0.0.1", "--grpc-server-port", "0"]
GATEWAY = ["gateway", "--http-bind", "127.0.0.1", "--http-port", "0"]
UP = ["up", *SERVE[1:], *GATEWAY[1:]]
PROGRAMS = pytest.mark.parametrize("program", [SERVE, GATEWAY, UP], ids=lambda program: program[0])


@pytest.fixture
def taken() -> Iterator[int]:
    """A port that is taken."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield int(listener.getsockname()[1])


Refused = Callable[..., str]


@pytest.fixture
def refused(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Refused:
    """Gives what a program says on standard error that does not start; arguments are its own and its environment."""

    def run(*arguments: str, **variables: str) -> str:
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        assert main(arguments) == 2
        out, err = capsys.readouterr()
        assert out == ""
        return err

    return run


@PROGRAMS
def test_a_taken_port_is_named(program: list[str], taken: int, refused: Refused) -> None:
    assert refused(*program, "--metrics-bind", "127.0.0.1", METRICS_PORT=str(taken)) == (
        f"echo: cannot listen on 127.0.0.1:{taken} (--metrics-bind, METRICS_PORT): Address already in use\n"
    )


def test_an_invalid_address_is_named(refused: Refused) -> None:
    line = refused(*SERVE, METRICS_BIND="192.0.2.1", METRICS_PORT="0")
    assert line == "echo: cannot listen on 192.0.2.1:0 (METRICS_BIND, METRICS_PORT): Cannot assign requested address\n"
    assert "METRICS_PORT: 'x' is not a port" in refused(*SERVE, METRICS_PORT="x")


@PROGRAMS
async def test_the_metrics_address_is_announced_with_the_others(program: list[str]) -> None:
    async with running(*program, METRICS_PORT="0", METRICS_BIND="127.0.0.1") as echo:
        said = await echo.announced("metrics")
        assert said["url"] == f"http://127.0.0.1:{said['port']}/metrics"
        services = [json.loads(line).get("service") for line in echo.stdout.splitlines()]
        assert services[-1] == "metrics"
        assert (await scrape(await echo.metrics_port())).value("process_start_time_seconds") > 0
        echo.send(signal.SIGTERM)
        assert await echo.status() == 0
    assert "Traceback" not in echo.stderr


def test_without_metrics_nothing_of_them_is_loaded() -> None:
    source = (
        "import sys, echo.cli, echo.gateway, echo.services\n"
        "unwanted = ('echo.telemetry.', 'opentelemetry', 'prometheus_client')\n"
        "looks = ('echo.telemetry.tracing', 'echo.telemetry.tracing.environment')\n"
        "print([name for name in sys.modules if name.startswith(unwanted) and name not in looks])"
    )
    done = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "[]\n"


def test_metrics_need_no_library_of_their_own() -> None:
    source = (
        "import sys, echo.telemetry.meters\n"
        "print([name for name in sys.modules if name.startswith(('opentelemetry', 'prometheus_client'))])"
    )
    done = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "[]\n"
