"""@grpc/grpc-js, client and server: Node.js processes that take commands and report events as lines of JSON.

Their scripts, which document the lines, are in ``tests/interop/node``. The server serves the echo contract, and does
what the metadata of `tests.support.recording` asks for.
"""

import base64
import json
import math
import os
import shutil
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from subprocess import PIPE
from typing import Any, Final, TypeAlias

import pytest
import trio
from multidict import MultiDict

from echo.rpc import Cardinality
from echo.wire.metadata import Metadata
from tests.support.recording import PATHS, Calls, Recorder, Seen
from tests.support.serving import LOOPBACK

NODE: Final = shutil.which("node")
SCRIPTS: Final = Path(__file__).resolve().parents[1] / "interop" / "node"
PATIENCE: Final = 60.0  # The longest wait for a process in seconds; no wait should come near it.

needs_node: Final = pytest.mark.third_party(
    lambda: NODE is not None and (SCRIPTS / "node_modules").exists(),
    reason="Node.js, or grpc-js (`just tools`), is not installed",
)

Message: TypeAlias = Mapping[str, object]  # As proto-loader represents it: int64 as decimal strings.
Pairs: TypeAlias = list[tuple[str, str | bytes]]


class Script:
    """A running script that reads and writes lines of JSON, like those in ``tests/interop/node``."""

    def __init__(self, process: trio.Process) -> None:
        self._process = process
        self._sending = trio.Lock()
        self._stderr = b""
        self._lines, self._said = trio.open_memory_channel[dict[str, Any]](math.inf)

    async def tell(self, **order: object) -> None:
        """Send one line."""
        assert self._process.stdin is not None
        async with self._sending:
            await self._process.stdin.send_all(json.dumps(order).encode() + b"\n")

    async def heard(self) -> dict[str, Any]:
        """The next line."""
        with trio.fail_after(PATIENCE):
            try:
                return await self._said.receive()
            except trio.EndOfChannel:
                raise AssertionError(f"the script is over: {self._stderr.decode(errors='replace')}") from None

    async def listen(self) -> None:
        """Read the script's output until it ends."""
        assert self._process.stdout is not None
        rest = b""
        with self._lines:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._listen_for_errors)
                async for data in self._process.stdout:
                    *lines, rest = (rest + data).split(b"\n")
                    for line in lines:
                        self._lines.send_nowait(json.loads(line))

    async def _listen_for_errors(self) -> None:
        assert self._process.stderr is not None
        async for data in self._process.stderr:
            self._stderr += data


@asynccontextmanager
async def running(
    interpreter: str | None, script_path: Path, *arguments: str, **variables: str
) -> AsyncIterator[Script]:
    """Run a script in any language while the block runs. It is killed at the end of the block."""
    assert interpreter is not None
    process = await trio.lowlevel.open_process(
        [interpreter, str(script_path), *arguments],
        stdin=PIPE,
        stdout=PIPE,
        stderr=PIPE,
        env={**os.environ, **variables},
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


@dataclass(frozen=True)
class Outcome:
    """How a call of the client ended.

    Attributes:
        code, details: The status.
        replies: The messages that came.
        initial, trailing: The metadata that came.
    """

    code: int
    details: str
    replies: list[Any]
    initial: Pairs
    trailing: Pairs

    @property
    def texts(self) -> list[str]:
        return [reply["response"] for reply in self.replies]

    @property
    def numbers(self) -> list[int]:
        return [int(reply["sequence_number"]) for reply in self.replies]


class Client:
    """A stock client."""

    def __init__(self, script: Script) -> None:
        self._script = script
        self._outcomes: dict[int, Outcome] = {}
        self._news = trio.Condition()
        self._calls = 0

    async def start(
        self,
        path: str,
        kind: Cardinality,
        messages: Sequence[Message | str] = (),
        metadata: Iterable[tuple[str, str | bytes]] = (),
        **order: object,
    ) -> int:
        """Begin a call; returns its number. Further arguments are explained in ``client.js``."""
        self._calls += 1
        order |= {"messages": messages, "metadata": _encoded(metadata)}
        await self._script.tell(id=self._calls, path=path, kind=kind.name, **order)
        return self._calls

    async def cancel(self, number: int, **order: object) -> None:
        """Cancel a call. Further arguments are explained in the script."""
        await self._script.tell(cancel=number, **order)

    async def outcome(self, number: int) -> Outcome:
        """Wait for the end of a call."""
        with trio.fail_after(PATIENCE):
            async with self._news:
                while number not in self._outcomes:
                    await self._news.wait()
        return self._outcomes[number]

    async def call(
        self,
        path: str,
        kind: Cardinality,
        messages: Sequence[Message | str] = (),
        metadata: Iterable[tuple[str, str | bytes]] = (),
        **order: object,
    ) -> Outcome:
        """`start` and `outcome`."""
        return await self.outcome(await self.start(path, kind, messages, metadata, **order))

    async def record(
        self, kind: Cardinality, metadata: Mapping[str, str | bytes] | None = None, message: str = "hi"
    ) -> Outcome:
        """Call the method of this type of `tests.support.recording.Recorder` with one message."""
        return await self.call(PATHS[kind], kind, [{"stream_id": "a", "message": message}], (metadata or {}).items())

    async def listen(self) -> None:
        while True:
            said = await self._script.heard()
            outcome = Outcome(
                said["code"], said["details"], said["replies"], _decoded(said["initial"]), _decoded(said["trailing"])
            )
            async with self._news:
                self._outcomes[said["id"]] = outcome
                self._news.notify_all()


@asynccontextmanager
async def grpc_js_client(port: int, *files: str, **variables: str) -> AsyncIterator[Client]:
    """A client of the server on this port, with one connection; ``files`` make it TLS (see ``client.js``)."""
    async with (
        running(NODE, SCRIPTS / "client.js", f"{LOOPBACK}:{port}", *files, **variables) as script,
        trio.open_nursery() as nursery,
    ):
        client = Client(script)
        nursery.start_soon(client.listen)
        yield client
        nursery.cancel_scope.cancel()


class GrpcJsServer:
    """A stock server.

    Attributes:
        port: Where it listens.
        calls: What its handlers saw.
        drained: It has been told to `drain`, and its last call has ended.
    """

    def __init__(self, script: Script, port: int) -> None:
        self.port = port
        self.calls = Calls()
        self.drained = trio.Event()
        self._script = script
        self._seen: dict[int, Seen] = {}

    async def drain(self) -> None:
        """Have it accept no more calls and exit when the last one has ended. Does not wait for that."""
        await self._script.tell(drain=True)

    async def listen(self) -> None:
        while True:
            said = await self._script.heard()
            if "drained" in said:
                self.drained.set()
            elif said["saw"] == "started":
                timeout = said["timeout"]
                seen = Seen(_metadata(said["metadata"]), math.inf if timeout is None else timeout)
                self._seen[said["call"]] = seen
                self.calls.add(seen)
            else:
                event: trio.Event = getattr(self._seen[said["call"]], said["saw"])
                event.set()


@asynccontextmanager
async def grpc_js_server(*files: str) -> AsyncIterator[GrpcJsServer]:
    """A stock server while the block runs; ``files`` make it TLS (see ``server.js``)."""
    async with running(NODE, SCRIPTS / "server.js", *files) as script, trio.open_nursery() as nursery:
        server = GrpcJsServer(script, (await script.heard())["port"])
        nursery.start_soon(server.listen)
        yield server
        nursery.cancel_scope.cancel()


def _encoded(metadata: Iterable[tuple[str, str | bytes]]) -> list[tuple[str, str]]:
    return [(key, base64.b64encode(value).decode() if isinstance(value, bytes) else value) for key, value in metadata]


def _decoded(pairs: list[list[str]]) -> Pairs:
    return [(key, base64.b64decode(value) if key.endswith("-bin") else value) for key, value in pairs]


def _metadata(pairs: list[list[str]]) -> Metadata:
    return MultiDict(_decoded(pairs))


async def begun(calls: Recorder | GrpcJsServer) -> Seen:
    """The next call, once its handler is waiting."""
    seen = await calls.calls.next()
    with trio.fail_after(30):
        await seen.waiting.wait()
    return seen
