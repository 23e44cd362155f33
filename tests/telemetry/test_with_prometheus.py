"""Prometheus itself: its linter has no complaints, and a running Prometheus scrapes our metrics and answers queries."""

import json
import re
import shutil
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from subprocess import PIPE
from typing import Any
from urllib.parse import quote

import pytest
import trio

from echo.rpc import open_channel
from echo.telemetry.names import INSTRUMENTS
from echo.telemetry.prometheus import prometheus_name, render
from echo.telemetry.snapshot import Distribution, Point, Snapshot
from tests.support.chat import chat, say
from tests.support.gateway import http_get
from tests.support.metrics import scrape
from tests.support.process import PATIENCE, running
from tests.support.websocket import open_websocket

pytestmark = pytest.mark.third_party(
    lambda: shutil.which("prometheus") and shutil.which("promtool"),
    reason="Prometheus is not installed (Debian: prometheus)",
)

PAGE = Path(__file__).parents[2] / "docs/pages/operate.md"
UP = [
    *("up", "--grpc-server-bind", "127.0.0.1", "--grpc-server-port", "0", "--http-bind", "127.0.0.1"),
    *("--http-port", "0", "--metrics-bind", "127.0.0.1", "--metrics-port", "0"),
]
CONFIGURATION = """
global:
  scrape_interval: 500ms
  scrape_timeout: 500ms
scrape_configs:
  - job_name: echo
    static_configs:
      - targets: ["127.0.0.1:{port}"]
"""


def lint(text: bytes) -> str:
    done = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True, timeout=60, check=False)
    return (done.stdout + done.stderr).decode() + (f"status {done.returncode}" if done.returncode else "")


def test_the_linter_has_nothing_to_say_about_any_metric_there_is() -> None:
    metrics = []
    for one in INSTRUMENTS:
        attributes = tuple((name, "value") for name in one.attributes)
        buckets = [Distribution(attributes, [1] * (len(one.boundaries) + 1), 3.5)]
        histogram = one.kind == "histogram"
        metrics.append(one.metric([] if histogram else [Point(attributes, 1)], buckets if histogram else []))
    assert lint(render(Snapshot((("service.name", "echo-grpc"),), 0.0, 0.0, metrics))) == ""


def questions() -> list[str]:
    """Those of the page for operators."""
    (block,) = re.findall(r"```promql\n(.*?)```", PAGE.read_text(), re.DOTALL)
    lines = re.sub(r"\n +", " ", re.sub(r"^#.*\n", "", block, flags=re.MULTILINE))
    return [line for line in lines.splitlines() if line]


def test_the_questions_of_the_page_are_sound_and_about_metrics_that_there_are(tmp_path: Path) -> None:
    rules = [{"record": f"question:{number}", "expr": question} for number, question in enumerate(questions())]
    assert len(rules) == 10
    file = tmp_path / "rules.yml"
    file.write_text(json.dumps({"groups": [{"name": "questions", "rules": rules}]}))
    done = subprocess.run(["promtool", "check", "rules", file], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    known = {prometheus_name(one.name, one.unit, one.kind): set(one.attributes) for one in INSTRUMENTS}
    for question in questions():
        name = re.search(r"\b((?:echo|grpc|http)_(?:grpc|server|client|websocket|access|tls)\w+)", question)
        assert name is not None, question
        assert re.sub("_(bucket|count)$", "", name[1]) in known, question


@asynccontextmanager
async def prometheus(folder: Path, scraped: int) -> AsyncIterator[int]:
    """A Prometheus that scrapes this port; gives its own."""
    configuration = folder / "prometheus.yml"
    configuration.write_text(CONFIGURATION.format(port=scraped))
    command = [
        "prometheus",
        f"--config.file={configuration}",
        f"--storage.tsdb.path={folder}/data",
        "--web.listen-address=127.0.0.1:0",
    ]
    process = await trio.lowlevel.open_process(command, stderr=PIPE, stdout=subprocess.DEVNULL)
    assert process.stderr is not None
    try:
        said = b""
        with trio.fail_after(PATIENCE):
            while not (listens := re.search(rb'msg="Listening on" address=\S+:(\d+)\s', said)):
                data = await process.stderr.receive_some()
                assert data, said.decode()
                said += data
        async with trio.open_nursery() as nursery:
            nursery.start_soon(partial(drop, process.stderr))
            yield int(listens[1])
            nursery.cancel_scope.cancel()
    finally:
        process.kill()
        with trio.CancelScope(shield=True):
            await process.wait()


async def drop(stream: trio.abc.ReceiveStream) -> None:
    async for _ in stream:
        pass


async def ask(port: int, query: str) -> dict[str, float]:
    """What Prometheus answers: values, by the labels that the query leaves. Nothing while it is still starting."""
    answer = await http_get(port, f"/api/v1/query?query={quote(query)}")
    if answer.status == 503:  # It listens before it is ready.
        return {}
    found: dict[str, Any] = json.loads(answer.body)
    assert found["status"] == "success", found
    return {
        ",".join(value for _, value in sorted(one["metric"].items())): float(one["value"][1])
        for one in found["data"]["result"]
    }


async def answers(port: int, query: str, wanted: dict[str, float]) -> None:
    """Ask until the answer is this."""
    found: dict[str, float] = {}
    with trio.move_on_after(PATIENCE):
        while (found := await ask(port, query)) != wanted:  # noqa: ASYNC110 - It is another process that we ask.
            await trio.sleep(0.1)
    assert found == wanted, query


@pytest.mark.slow
async def test_a_real_prometheus_scrapes_server_and_gateway(tmp_path: Path) -> None:
    async with running(*UP) as echo, open_channel("127.0.0.1", await echo.grpc_port()) as channel:
        http, metrics = await echo.http_port(), await echo.metrics_port()
        async with prometheus(tmp_path, metrics) as port:
            for _ in range(3):
                assert (await http_get(http, "/grpc/hi")).status == 200
            async with chat(channel) as stream, open_websocket(http, "/ws/stream/bidirectional") as socket:
                await say(stream, "one")
                await say(stream, "two")
                await socket.send('{"stream_id":"a","message":"three"}')
                await socket.receive()
                await answers(port, "sum(up)", {"": 1})
                await answers(port, "sum(echo_grpc_server_active_calls)", {"": 2})
                await answers(port, "sum(echo_websocket_active) by (http_route)", {"/ws/stream/bidirectional": 1})
                await answers(
                    port,
                    "sum(echo_grpc_server_messages_total) by (grpc_method, network_io_direction) > 0",
                    {
                        "com.gopay.echo.Server/GetReply,receive": 3,
                        "com.gopay.echo.Server/GetReply,transmit": 3,
                        "com.gopay.echo.streaming.StreamingServer/BidirectionalStream,receive": 3,
                        "com.gopay.echo.streaming.StreamingServer/BidirectionalStream,transmit": 3,
                    },
                )
            await answers(port, "sum(echo_grpc_server_active_calls)", {"": 0})
            quantile = "histogram_quantile(0.99, sum by (le) (grpc_server_call_duration_seconds_bucket)) > 0"
            shown, known = {"everything"}, set[str]()
            with trio.move_on_after(PATIENCE):
                while not await ask(port, quantile):  # A scrape that was late leaves a gap.
                    pass
                while shown - known:
                    # It asks for OpenMetrics; what it read are the same names.
                    shown = {sample.name for sample in (await scrape(metrics)).samples}
                    names = await http_get(port, "/api/v1/label/__name__/values")
                    known = set(json.loads(names.body)["data"])
            assert shown - known == set()
        assert lint((await scrape(metrics)).text.encode()) == ""
