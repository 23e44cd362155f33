"""@connectrpc's clients, in Node.js and in a browser, Google's grpc-web, and ``buf curl``: how to run them.

Their scripts lie in ``tests/interop/node``; they know the echo services, health, and `tests.support.recording`'s.
"""

import base64
import json
import subprocess
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorProto, FileDescriptorSet, MethodDescriptorProto

from echo.rpc import Cardinality
from tests.support.browser import Browser
from tests.support.grpc_js import NODE, SCRIPTS, Pairs, Script, running
from tests.support.recording import PATHS
from tests.support.serving import LOOPBACK

_MODULES: Final = SCRIPTS / "node_modules"
_PACKAGES: Final = ("@connectrpc/connect-node", "@connectrpc/connect-web", "@bufbuild/protobuf", "esbuild", "grpc-web")

BUF: Final = _MODULES / ".bin" / "buf"

needs_connect: Final = pytest.mark.third_party(
    lambda: NODE is not None and all((_MODULES / package).exists() for package in _PACKAGES),
    reason="Node.js, or @connectrpc's clients or grpc-web (`just tools`), are not installed",
)
needs_buf: Final = pytest.mark.third_party(
    lambda: NODE is not None and BUF.exists(), reason="Node.js, or buf (`just tools`), is not installed"
)


@dataclass(frozen=True)
class Outcome:
    """How a call ended.

    Attributes:
        code, message, details: The error's, details by their types; code 0 without one.
        replies: The messages that came.
        initial, trailing: The metadata that came; both together as trailing, after an error.
    """

    code: int
    message: str
    details: list[str]
    replies: list[Any]
    initial: Pairs
    trailing: Pairs

    @property
    def texts(self) -> list[str]:
        return [reply["response"] for reply in self.replies]


class ConnectClient:
    """A client of @connectrpc/connect-node; one call at a time."""

    def __init__(self, script: Script) -> None:
        self._script = script

    async def call(
        self,
        path: str,
        messages: Iterable[object],
        metadata: Iterable[tuple[str, str | bytes]] = (),
        **order: object,
    ) -> Outcome:
        """Call a method. Further arguments are explained in ``connect_client.mjs``."""
        await self._script.tell(path=path, messages=list(messages), metadata=_encoded(metadata), **order)
        return _outcome(await self._script.heard())


@asynccontextmanager
async def connect_client(port: int, folder: Path) -> AsyncIterator[ConnectClient]:
    """A client of the server on this port. Its descriptors are written to the folder."""
    descriptors = folder / "descriptors.binpb"
    descriptors.write_bytes(descriptor_set())
    script_path = SCRIPTS / "connect_client.mjs"
    async with running(NODE, script_path, f"http://{LOOPBACK}:{port}", str(descriptors)) as script:
        yield ConnectClient(script)


async def call_in_page(
    browser: Browser,
    port: int,
    path: str,
    messages: Iterable[object],
    metadata: Iterable[tuple[str, str | bytes]] = (),
    **order: object,
) -> Outcome:
    """Call a method by @connectrpc/connect-web from the page that is open. Arguments as in ``connect_web.mjs``."""
    await browser.evaluate(f"{bundle('connect_web.mjs')}; null")
    url = f"http://{LOOPBACK}:{port}"
    given = {"url": url, "path": path, "messages": list(messages), "metadata": _encoded(metadata), **order}
    descriptors = base64.b64encode(descriptor_set()).decode()
    return _outcome(await browser.evaluate(f"connectCall({json.dumps(descriptors)}, {json.dumps(given)})"))


async def call_by_grpc_web(
    browser: Browser,
    port: int,
    path: str,
    message: bytes,
    metadata: Iterable[tuple[str, str | bytes]] = (),
    **order: object,
) -> Outcome:
    """Call a method by Google's grpc-web from the page that is open. Arguments as in ``grpc_web.mjs``."""
    await browser.evaluate(f"{bundle('grpc_web.mjs')}; null")
    url, messages = f"http://{LOOPBACK}:{port}", [base64.b64encode(message).decode()]
    given = {"url": url, "path": path, "messages": messages, "metadata": _encoded(metadata), **order}
    return _outcome(await browser.evaluate(f"grpcWebCall({json.dumps(given)})"))


@cache
def bundle(script: str) -> str:
    """A script and all its imports, bundled for a page."""
    esbuild = _MODULES / ".bin" / "esbuild"
    arguments = [str(esbuild), str(SCRIPTS / script), "--bundle", "--format=iife", "--log-level=error"]
    return subprocess.run(arguments, capture_output=True, text=True, check=True, timeout=60).stdout


@cache
def descriptor_set() -> bytes:
    """The project's descriptors, and those of `tests.support.recording.Recorder`, as a serialised FileDescriptorSet."""
    found = FileDescriptorSet.FromString(files("echo.pb").joinpath("descriptors.binpb").read_bytes())
    recorder = FileDescriptorProto(name="recorder.proto", package="test", syntax="proto3")
    recorder.dependency.append("streaming.proto")
    service = recorder.service.add(name="Recorder")
    for kind in Cardinality:
        service.method.append(
            MethodDescriptorProto(
                name=PATHS[kind].rpartition("/")[2],
                input_type=".com.gopay.echo.streaming.StreamMessage",
                output_type=".com.gopay.echo.streaming.StreamResponse",
                client_streaming=kind.client_streaming,
                server_streaming=kind.server_streaming,
            )
        )
    found.file.append(recorder)
    return found.SerializeToString()


def _encoded(metadata: Iterable[tuple[str, str | bytes]]) -> list[tuple[str, str]]:
    return [(key, base64.b64encode(value).decode() if isinstance(value, bytes) else value) for key, value in metadata]


def _outcome(said: Any) -> Outcome:
    initial, trailing = (
        [(key, base64.b64decode(value) if key.endswith("-bin") else value) for key, value in said[name]]
        for name in ("initial", "trailing")
    )
    return Outcome(said["code"], said["message"], said["details"], said["replies"], initial, trailing)
