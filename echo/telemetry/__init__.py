"""Metrics: what server and gateway count, put together when somebody asks, for Prometheus and OpenTelemetry.

Counting costs next to nothing: plain integers that are there already, of which most belong to a call or a socket, and
bucket counts of our own. A *snapshot* adds up what has ended and what is still open. It is plain data: it can be sent
to another process, merged with those of others, and rendered. Nothing here is imported unless metrics are wanted.

Where to look: `names` what there is, `snapshot` the data, `series` the counting, `server`, `client`, `web` and
`process` what is counted, `meters` all of it together, `prometheus` how it is written, `endpoint` where it is served.
"""

from echo.telemetry.endpoint import Collect, serve_metrics
from echo.telemetry.prometheus import render
from echo.telemetry.snapshot import Snapshot, cumulative, decode, encode, merge

__all__ = ["Collect", "Snapshot", "cumulative", "decode", "encode", "merge", "render", "serve_metrics"]
