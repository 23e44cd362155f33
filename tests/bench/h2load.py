"""Unary calls by h2load, nghttp2's load generator (Debian: ``nghttp2-client``): C, and so never the bottleneck.

h2load knows nothing of gRPC: it posts one body again and again, here a length-prefixed message, and counts HTTP's 200.
Since a gRPC call that fails is a 200 as well, whoever uses this has one call checked by a real client first.
"""

import re
import resource
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from tests.bench.processes import LOAD_CORES, pinned
from tests.bench.raw_http2 import grpc_message
from tests.bench.raw_socket import RunFailed

AVAILABLE = shutil.which("h2load") is not None
TIMEOUT = 120.0  # Seconds a run may take.


@dataclass(frozen=True)
class Run:
    """What h2load did.

    Attributes:
        latencies: Nanoseconds for each call, in the order they ended.
        cpu_ns: CPU time of h2load itself.
    """

    latencies: list[int]
    cpu_ns: int


def h2load(port: int, path: str, message: bytes, *, calls: int, concurrent: int) -> Run:
    """Make calls on one connection, ``concurrent`` of them at any time.

    Args:
        port: Of the server, on the loopback.
        path: The method.
        message: A request, serialised.
        calls: How many in all.
        concurrent: How many at once.

    Raises:
        RunFailed: Not every call was answered with HTTP 200.
    """
    with tempfile.TemporaryDirectory() as folder:
        body, log = Path(folder, "body"), Path(folder, "log")
        body.write_bytes(grpc_message(message))
        command = ["h2load", f"-n{calls}", "-c1", f"-m{concurrent}", "-t1", f"-d{body}", f"--log-file={log}"]
        command += ["-Hcontent-type: application/grpc", "-Hte: trailers", f"http://127.0.0.1:{port}{path}"]
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        with pinned(LOAD_CORES):
            done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=TIMEOUT)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        rows = [line.split("\t") for line in log.read_text().splitlines()] if log.exists() else []
    succeeded = re.search(r"^status codes: (\d+) 2xx", done.stdout, re.MULTILINE)
    good = [row for row in rows if row[1] == "200"]
    if succeeded is None or int(succeeded[1]) != calls or len(good) != calls:
        raise RunFailed(f"h2load: not every one of {calls} calls was answered with 200:\n{done.stdout}{done.stderr}")
    seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Run([int(row[2]) * 1000 for row in good], int(seconds * 1e9))
