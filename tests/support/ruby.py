"""Ruby's gRPC, client and server, from Debian's package: processes that are controlled like those of grpc-js.

Their scripts lie in ``tests/interop/ruby`` and speak the lines of JSON that `tests.support.grpc_js` knows. The core of
Ruby's gRPC is grpcio's, years older; what is above it, from metadata to threads, is Ruby's own.
"""

import functools
import shutil
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import pytest
import trio

from tests.support.grpc_js import Client, GrpcJsServer, running
from tests.support.serving import LOOPBACK

RUBY: Final = shutil.which("ruby")
SCRIPTS: Final = Path(__file__).resolve().parents[1] / "interop" / "ruby"


@functools.cache
def _has_grpc() -> bool:
    if RUBY is None:
        return False
    return subprocess.run([RUBY, "-e", "gem 'grpc'"], check=False, capture_output=True).returncode == 0


needs_ruby: Final = pytest.mark.third_party(_has_grpc, reason="Ruby's gRPC is not installed (Debian: ruby-grpc)")


@asynccontextmanager
async def ruby_client(port: int, *files: str) -> AsyncIterator[Client]:
    """A client of the server on this port, with one connection; ``files`` make it TLS (see ``client.rb``)."""
    async with (
        running(RUBY, SCRIPTS / "client.rb", f"{LOOPBACK}:{port}", *files) as script,
        trio.open_nursery() as nursery,
    ):
        client = Client(script)
        nursery.start_soon(client.listen)
        yield client
        nursery.cancel_scope.cancel()


@asynccontextmanager
async def ruby_server(*files: str) -> AsyncIterator[GrpcJsServer]:
    """A server while the block runs; ``files`` make it TLS (see ``server.rb``). Its calls are never ``cancelled``."""
    async with running(RUBY, SCRIPTS / "server.rb", *files) as script, trio.open_nursery() as nursery:
        server = GrpcJsServer(script, (await script.heard())["port"])
        nursery.start_soon(server.listen)
        yield server
        nursery.cancel_scope.cancel()
