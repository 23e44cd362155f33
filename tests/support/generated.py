"""Code that other projects' generators produce from `todo.proto`, generated when a test first needs it."""

import importlib
import os
import subprocess
import sys
from functools import cache
from pathlib import Path
from tempfile import mkdtemp
from types import ModuleType

PROTO = Path(__file__).with_name("todo.proto")


def with_plugins() -> dict[str, str]:
    """The environment for the compiler, which finds its plugins beside the Python that runs the tests."""
    return {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}


@cache
def generated() -> Path:
    """A folder with the code of all generators, which Python can import."""
    folder = Path(mkdtemp(prefix="echo-generated-"))
    (folder / "todo_betterproto").mkdir()
    (folder / "todo_betterproto2").mkdir()
    command = [sys.executable, "-m", "grpc_tools.protoc", f"-I{PROTO.parent}"]
    command += [f"--{kind}_out={folder}" for kind in ("python", "grpclib_python", "grpc_python")]
    command += [f"--python_{kind}_out={folder}/todo_{kind}" for kind in ("betterproto", "betterproto2")]
    command += ["--python_betterproto2_opt=client_generation=async_sync,server_generation=async"]
    subprocess.run([*command, PROTO.name], env=with_plugins(), check=True, capture_output=True, timeout=240)
    sys.path.append(str(folder))
    return folder


def protobuf(module: str) -> ModuleType:
    """Import the code of Google's generator: ``todo_pb2``; grpclib's, ``todo_grpc``; or grpcio's, ``todo_pb2_grpc``."""
    generated()
    return importlib.import_module(module)


def betterproto2() -> ModuleType:
    """Import the code of betterproto2's generator."""
    generated()
    return importlib.import_module("todo_betterproto2.tests.todo.v1")
