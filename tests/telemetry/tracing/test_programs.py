"""The programs as they are started: with a collector, without, and without OpenTelemetry."""

import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio

from tests.support.collector import running_receiver
from tests.support.gateway import http_get
from tests.support.hypercorn import hypercorn
from tests.support.process import Echo, environment, running, running_as
from tests.support.serving import LOOPBACK
from tests.support.streams import HELLO
from tests.support.websocket import open_websocket

STREAM = "/ws/stream/bidirectional"
pytestmark = pytest.mark.slow


@asynccontextmanager
async def server_and_gateway(endpoint: str, **variables: str) -> AsyncIterator[tuple[Echo, Echo, int]]:
    """The two, each in a process of its own, and the gateway's port."""
    common = {"OTEL_EXPORTER_OTLP_ENDPOINT": endpoint, "OTEL_BSP_SCHEDULE_DELAY": "60000", "LOG_FORMAT": "json"}
    common |= {"OTEL_METRICS_EXPORTER": "none", **variables}
    async with running("serve", GRPC_SERVER_PORT="0", OTEL_SERVICE_NAME="server", **common) as server:
        port = str(await server.grpc_port())
        where = {"GRPC_SERVER_HOST": LOOPBACK, "GRPC_SERVER_PORT": port, "HTTP_PORT": "0"}
        async with running("gateway", **where, OTEL_RESOURCE_ATTRIBUTES="region=here", **common) as gateway:
            yield server, gateway, await gateway.http_port()


async def stop(*programs: Echo) -> None:
    for program in programs:
        program.send(signal.SIGTERM)
        assert await program.status() == 0


async def use(port: int) -> None:
    assert (await http_get(port, "/grpc/hi")).status == 200
    async with open_websocket(port, STREAM) as client:
        await client.send(HELLO)
        await client.receive()
        await client.send("")
        await client.receive()


async def test_two_processes_hand_over_one_trace_as_they_end() -> None:
    async with running_receiver() as receiver, server_and_gateway(f"http://{LOOPBACK}:{receiver.port}") as started:
        server, gateway, port = started
        await use(port)
        await stop(gateway, server)
    traces = {span.trace for span in receiver.spans}
    assert len(traces) == 2
    for trace in traces:
        by_parent = {span.parent: span for span in receiver.spans if span.trace == trace}
        arrival = by_parent[""]
        call = by_parent[arrival.id]
        handler = by_parent[call.id]
        assert len(by_parent) == 3
        assert (arrival.kind, call.kind, handler.kind) == ("server", "client", "server")
        assert f'"trace_id":"{trace}","span_id":"{arrival.id}"' in gateway.stderr
        assert f'"trace_id":"{trace}","span_id":"{handler.id}"' in server.stderr
    by_name = {str(resource["service.name"]): resource for resource in receiver.resources}
    assert set(by_name) == {"server", "echo-grpc"}
    assert by_name["echo-grpc"]["region"] == "here"
    assert by_name["echo-grpc"]["telemetry.sdk.language"] == "python"


async def test_a_collector_that_is_down_delays_nothing_and_is_told_of_once() -> None:
    # Nobody listens on port 1.
    async with server_and_gateway(f"http://{LOOPBACK}:1", OTEL_BSP_SCHEDULE_DELAY="50") as (server, gateway, port):
        for _ in range(20):
            assert (await http_get(port, "/grpc/hi")).status == 200
        with trio.fail_after(60):  # The ends would wait forever if they waited for a collector that is down.
            await stop(gateway, server)
    for program in (server, gateway):
        assert program.stderr.count("spans are dropped") == 1


async def test_under_plain_hypercorn_requests_are_traced_too() -> None:
    async with running_receiver() as receiver:
        endpoint = f"http://{LOOPBACK}:{receiver.port}"
        async with hypercorn(OTEL_EXPORTER_OTLP_ENDPOINT=endpoint, OTEL_BSP_SCHEDULE_DELAY="50") as server:
            await http_get(server.port, "/grpc/hi")
            await receiver.until(2)
    assert {span.name for span in receiver.spans} == {"GET /grpc/{key}", "com.gopay.echo.Server/GetReply"}


async def test_spans_on_standard_output() -> None:
    ports = {"GRPC_SERVER_PORT": "0", "HTTP_PORT": "0", "OTEL_BSP_SCHEDULE_DELAY": "50"}
    async with running("up", OTEL_TRACES_EXPORTER="console", **ports) as echo:
        await http_get(await echo.http_port(), "/grpc/hi")
        await echo.printed(r'^\{"traceId": .*"name": "GET /grpc/\{key\}"')


async def test_without_being_asked_for_opentelemetry_is_not_loaded() -> None:
    program = (
        "import sys, trio, echo.cli, echo.gateway\n"
        "from echo.telemetry.tracing import open_tracing\n"
        "async def main():\n"
        "    async with open_tracing(1) as tracing:\n"
        "        print(tracing, [name for name in sys.modules if name.startswith('opentelemetry')])\n"
        "trio.run(main)\n"
    )
    done = await trio.run_process([sys.executable, "-c", program], env=environment(), capture_stdout=True)
    assert done.stdout == b"None []\n"


async def test_what_is_asked_for_and_not_installed_is_a_warning(tmp_path: Path) -> None:
    # Hides the package, as if the extra were not installed.
    (tmp_path / "sitecustomize.py").write_text("import sys\nsys.modules['opentelemetry'] = None\n")
    hiding = environment(
        OTEL_TRACES_EXPORTER="otlp", PYTHONPATH=str(tmp_path), HTTP_PORT="0", GRPC_SERVER_PORT="0", LOG_FORMAT="json"
    )
    async with running_as([sys.executable, "-m", "echo", "up"], hiding) as echo:
        said = (await echo.logged("there will be no traces: .*"))[0]
        assert "OTEL_TRACES_EXPORTER: traces need the extra 'telemetry': pip install 'echo-grpc[telemetry]'" in said
        assert (await http_get(await echo.http_port(), "/healthz")).status == 200
