"""``buf curl`` calls the gateway by Connect and gRPC-Web, and our server by gRPC, with a schema or by reflection."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import trio

from tests.support.connect import BUF, needs_buf
from tests.support.gateway import running_gateway
from tests.support.ours import our_server
from tests.support.rpc_over_http import BIDIRECTIONAL, GET_REPLY, STREAMING
from tests.support.serving import LOOPBACK

pytestmark = needs_buf

PROTO = Path(__file__).resolve().parents[2] / "proto"
SCHEMA = ("--schema", str(PROTO))
H2C = "--http2-prior-knowledge"

WAYS = pytest.mark.parametrize(
    "way", [("--protocol", protocol, *more) for protocol in ("connect", "grpcweb") for more in ((), (H2C,))]
)


async def curl(port: int, path: str, messages: Sequence[object], *flags: str) -> tuple[list[Any], str]:
    """Call a method; gives the replies, and what was said of an error."""
    data = "".join(map(json.dumps, messages))
    command = [str(BUF), "curl", *flags, "-d", data, f"http://{LOOPBACK}:{port}{path}"]
    with trio.fail_after(60):
        done = await trio.run_process(command, capture_stdout=True, capture_stderr=True, check=False)
    decoder, text, replies = json.JSONDecoder(), done.stdout.decode().strip(), []
    while text:
        reply, end = decoder.raw_decode(text)
        replies.append(reply)
        text = text[end:].strip()
    return replies, done.stderr.decode()


@WAYS
@pytest.mark.parametrize("schema", [SCHEMA, ()], ids=["schema", "reflection"])
async def test_a_unary_call(schema: tuple[str, ...], way: tuple[str, ...]) -> None:
    async with running_gateway() as gateway:
        replies, error = await curl(gateway.port, GET_REPLY, [{"message": "hi"}], *way, *schema)
        assert (replies, error) == ([{"success": True, "response": "from server:hi"}], "")


@WAYS
async def test_streams(way: tuple[str, ...]) -> None:
    async with running_gateway() as gateway:
        two = [{"streamId": "a", "message": "one"}, {"streamId": "a", "message": "two"}]
        (summary,), error = await curl(gateway.port, f"{STREAMING}/ClientStream", two, *way, *SCHEMA)
        assert (summary["response"], error) == ("from server: received 2 messages", "")
        if H2C in way:
            replies, error = await curl(gateway.port, BIDIRECTIONAL, two, *way, *SCHEMA)
            assert [reply["response"] for reply in replies] == ["from server: one", "from server: two"]
            assert error == ""
        replies, error = await curl(gateway.port, f"{STREAMING}/ServerStream", [{}], *way, *SCHEMA)
        assert replies == []
        assert json.loads(error) == {"code": "invalid_argument", "message": "stream_id is required"}


@pytest.mark.parametrize("schema", [SCHEMA, ()], ids=["schema", "reflection"])
async def test_grpc_to_our_server(schema: tuple[str, ...]) -> None:
    async with our_server() as ours:
        flags = ("--protocol", "grpc", H2C, *schema)
        replies, error = await curl(ours.port, GET_REPLY, [{"message": "hi"}], *flags)
        assert (replies, error) == ([{"success": True, "response": "from server:hi"}], "")


async def test_grpc_to_the_gateway_s_http_port() -> None:
    async with running_gateway() as gateway:
        _, error = await curl(gateway.port, GET_REPLY, [{}], "--protocol", "grpc", H2C, *SCHEMA)
        said = json.loads(error)
        assert said["code"] == "unimplemented"
        assert "this is the gateway's HTTP port" in said["message"]
