"""Ruby's gRPC, client and server, as Debian packages it: processes that are driven as those of grpc-js are.

Their scripts lie in ``tests/interop/ruby`` and speak the lines of JSON that `tests.support.grpc_js` knows. The core of
Ruby's gRPC is grpcio's, years older; what is above it, from metadata to threads, is of Ruby's own make.
"""

import os
import shutil
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from subprocess import PIPE
from typing import Final

import pytest
import trio

from tests.support.grpc_js import Client, GrpcJsServer, Script
from tests.support.serving import LOOPBACK

RUBY: Final = shutil.which("ruby")
SCRIPTS: Final = Path(__file__).resolve().parents[1] / "interop" / "ruby"


def _has_grpc() -> bool:
    if RUBY is None:
        return False
    return subprocess.run([RUBY, "-e", "gem 'grpc'"], check=False, capture_output=True).returncode == 0


needs_ruby: Final = pytest.mark.skipif(not _has_grpc(), reason="Ruby's gRPC is not installed (Debian: ruby-grpc)")


@asynccontextmanager
async def running(name: str, *arguments: str) -> AsyncIterator[Script]:
    """Run a script while the block runs; it is killed at its end."""
    assert RUBY is not None
    process = await trio.lowlevel.open_process(
        [RUBY, str(SCRIPTS / name), *arguments], stdin=PIPE, stdout=PIPE, stderr=PIPE, env={**os.environ}
    )
    script = Script(process)
    try:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(script.listen)
            try:
                yield script
            finally:
                process.kill()
    finally:
        with trio.CancelScope(shield=True):
            await process.wait()
            for stream in (process.stdin, process.stdout, process.stderr):
                assert stream is not None
                await stream.aclose()


@asynccontextmanager
async def ruby_client(port: int, *files: str) -> AsyncIterator[Client]:
    """A client of the server on this port, and so one connection; ``files`` make it TLS (see ``client.rb``)."""
    async with running("client.rb", f"{LOOPBACK}:{port}", *files) as script, trio.open_nursery() as nursery:
        client = Client(script)
        nursery.start_soon(client.listen)
        yield client
        nursery.cancel_scope.cancel()


@asynccontextmanager
async def ruby_server(*files: str) -> AsyncIterator[GrpcJsServer]:
    """A server while the block runs; ``files`` make it TLS (see ``server.rb``). Its calls are never ``cancelled``."""
    async with running("server.rb", *files) as script, trio.open_nursery() as nursery:
        server = GrpcJsServer(script, (await script.heard())["port"])
        nursery.start_soon(server.listen)
        yield server
        nursery.cancel_scope.cancel()
