"""One trace through both programs, as another project's backend shows it.

Run by hand, as ``python -m tests.telemetry.tracing.with_phoenix``, since the backend is large: it needs ``phoenix`` on
PATH, of the package arize-phoenix, best in a virtual environment of its own. The tests have a small receiver instead,
which decodes OTLP by OpenTelemetry's own classes.
"""

import json
import socket
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import trio

from tests.support.gateway import http_get
from tests.support.process import environment, running_as
from tests.support.serving import LOOPBACK
from tests.telemetry.tracing.test_programs import STREAM, server_and_gateway, stop, use


async def main(folder: Path) -> None:
    """Send what two programs trace to Phoenix, and ask it for the spans."""
    port, other = free_port(), free_port()
    where = {"PHOENIX_HOST": LOOPBACK, "PHOENIX_PORT": str(port), "PHOENIX_GRPC_PORT": str(other)}
    quiet = {"PHOENIX_WORKING_DIR": str(folder), "PHOENIX_TELEMETRY_ENABLED": "false"}
    async with running_as(["phoenix", "serve"], environment(**where, **quiet)) as phoenix:
        with suppress(AssertionError):  # It takes its time, and so does a busy machine.
            await phoenix.logged("Uvicorn running")
        await phoenix.logged("Uvicorn running")
        async with server_and_gateway(f"http://{LOOPBACK}:{port}") as (server, gateway, http_port):
            await use(http_port)
            await stop(gateway, server)
        found: list[dict[str, Any]] = []
        with trio.fail_after(20):
            while len(found) < 6:  # It answers before it has stored them.
                answer = await http_get(port, "/v1/projects/default/spans?limit=100")
                found = json.loads(answer.body)["data"] if answer.status == 200 else []
    spans = {span["context"]["span_id"]: span for span in found}
    for trace in {span["context"]["trace_id"] for span in found}:
        handler = next(span for span in found if span["context"]["trace_id"] == trace and "client.port" in said(span))
        call = spans[handler["parent_id"]]
        arrival = spans[call["parent_id"]]
        assert arrival["parent_id"] is None
        assert said(arrival)["http.route"] in ("/grpc/{key}", STREAM)
        assert said(handler)["rpc.method"] == said(call)["rpc.method"]
        assert f'"trace_id":"{trace}","span_id":"{handler["context"]["span_id"]}"' in server.stderr
        if said(arrival)["http.route"] == STREAM:
            assert [event["name"] for event in handler["events"]][-1] == "half-close"


def said(span: dict[str, Any]) -> dict[str, object]:
    attributes: dict[str, object] = span["attributes"]
    return attributes


def free_port() -> int:
    with socket.socket() as one:
        one.bind((LOOPBACK, 0))
        port: int = one.getsockname()[1]
        return port


if __name__ == "__main__":
    with TemporaryDirectory() as folder:
        trio.run(main, Path(folder))
    print("one trace each, from the gateway to the server")
