"""What a message costs, side by side with Python's other gRPC servers: ``python -m tests.bench [--quick]``.

Every peer runs in a process of its own on the first core, the load on the others; the peers take turns, round by round,
so that a change of the machine's mood hits them all. What counts is the CPU time of the server's process for each
message or call, and of that the ratio: absolute times are of this machine, and of this moment.
"""

import argparse
import os
import platform
import sys
from importlib.metadata import version

from tests.bench import h2load, relays, report, servers
from tests.bench.figures import Plan
from tests.bench.processes import LOAD_CORES

QUICK = Plan(rounds=3, seconds=0.25)
FULL = Plan(rounds=5, seconds=1.0)

PACKAGES = ("trio", "anyio", "h2", "grpcio", "grpclib", "betterproto", "protobuf")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer messages and rounds: within two minutes")
    arguments = parser.parse_args()
    os.sched_setaffinity(0, LOAD_CORES)
    plan = QUICK if arguments.quick else FULL
    if not h2load.AVAILABLE:
        print("h2load is not there (Debian: nghttp2-client): no unary calls", file=sys.stderr)
    for measure in (servers.measure, relays.measure):
        figures = measure(plan)
        print(report.ratios(figures, "echo"))
        print()
        print(report.details(figures))
        print()
    print(f"\nPython {platform.python_version()}, {os.cpu_count()} cores;", end=" ")
    print(", ".join(f"{name} {version(name)}" for name in PACKAGES))


if __name__ == "__main__":
    main()
