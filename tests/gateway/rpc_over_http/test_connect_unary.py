"""Connect's unary calls, by POST and by GET: bodies, errors as HTTP and JSON, metadata, compression, deadlines."""

import base64
import gzip
from collections.abc import Mapping
from urllib.parse import quote

import pytest
from google.protobuf.any_pb2 import Any as AnyMessage

from echo.contract import HTTP_STATUS
from echo.rpc import Cardinality, Status
from tests.support.gateway import http_get, running_gateway
from tests.support.recording import PATHS, STATUS, STATUS_DETAILS, STATUS_MESSAGE, Recorder
from tests.support.rpc_over_http import (
    BIDIRECTIONAL,
    EACH_VERSION,
    GET_REPLY,
    HI,
    REPLY,
    STREAMING,
    Version,
    call,
    http1,
    message,
)

pytestmark = pytest.mark.usefixtures("nothing_left")

UNARY = PATHS[Cardinality.UNARY_UNARY]
PROTO, JSON = "application/proto", "application/json"
# Without the time, which would make names of tests differ between the processes that run them.
COMPRESSED_HI = base64.urlsafe_b64encode(gzip.compress(HI, mtime=0)).decode()
COMPRESSED_ZEROS = gzip.compress(bytes(70_000), mtime=0)


@EACH_VERSION
async def test_a_call_in_each_codec(version: Version) -> None:
    async with running_gateway() as gateway:
        for content_type, body, reply in (
            (PROTO, HI, REPLY),
            (JSON, b'{"message":"hi","unknown":[1]}', b'{"success":true,"response":"from server:hi"}'),
            (f"{JSON}; charset=utf-8", b"{}", b'{"success":true,"response":"from server:"}'),
        ):
            async with version(gateway.port) as request:
                response = await call(request, GET_REPLY, content_type, body, {"connect-protocol-version": "1"})
            assert (response.status, response.body) == (200, reply)
            assert response.headers["content-type"] == content_type.partition(";")[0]
            assert response.headers["content-length"] == str(len(reply))
            assert response.headers["x-request-id"]


@EACH_VERSION
async def test_metadata_goes_both_ways(version: Version) -> None:
    recorder = Recorder()
    headers = {"initial-text": "some text", "initial-o-bin": "AP8s", "trailing-text": "~", "trailing-o-bin": "AQ"}
    async with running_gateway([recorder]) as gateway, version(gateway.port) as request:
        response = await call(request, UNARY, PROTO, message(), headers)
        seen = await recorder.calls.next()
        assert seen.metadata["initial-o-bin"] == b"\x00\xff,"
        assert response.status == 200
        expected = {"initial-text": "some text", "initial-o-bin": "AP8s"}
        expected |= {"trailer-trailing-text": "~", "trailer-trailing-o-bin": "AQ"}
        assert response.headers.items() >= expected.items()


@pytest.mark.parametrize("status", [status for status in Status if status is not Status.OK])
async def test_every_status_has_its_code_and_its_http_status(status: Status) -> None:
    async with running_gateway([Recorder()]) as gateway, http1(gateway.port) as request:
        response = await call(request, UNARY, PROTO, message(), {STATUS: str(status.value)})
        assert response.status == HTTP_STATUS[status]
        assert response.headers["content-type"] == JSON
        assert response.json == {"code": {"CANCELLED": "canceled"}.get(status.name, status.name.lower())}


async def test_an_error_has_its_message_details_and_metadata() -> None:
    detail = AnyMessage(type_url="type.googleapis.com/google.rpc.ErrorInfo", value=b"\x0a\x03why?").SerializeToString()
    details = b"\x08\x09\x12\x02no\x1a" + bytes([len(detail)]) + detail
    headers = {
        STATUS: "9",
        STATUS_MESSAGE: base64.b64encode("nö 🙅".encode()).decode(),
        STATUS_DETAILS: base64.b64encode(details).decode(),
        "initial-a": "b",
        "trailing-c": "d",
    }
    async with running_gateway([Recorder()]) as gateway, http1(gateway.port) as request:
        response = await call(request, UNARY, PROTO, message(), headers)
        assert response.status == 400
        value = base64.b64encode(b"\x0a\x03why?").decode().rstrip("=")
        assert response.json == {
            "code": "failed_precondition",
            "message": "nö 🙅",
            "details": [{"type": "google.rpc.ErrorInfo", "value": value}],
        }
        assert response.headers.items() >= {"initial-a": "b", "trailer-trailing-c": "d"}.items()


@pytest.mark.parametrize(
    ("content_type", "body", "headers", "status", "code", "text"),
    [
        (JSON, b"{", {}, 400, "invalid_argument", "com.gopay.echo.Message"),
        (JSON, b"", {}, 400, "invalid_argument", "com.gopay.echo.Message"),
        (JSON, b'{"message":3}', {}, 400, "invalid_argument", "com.gopay.echo.Message"),
        (JSON, b'{"message":"\xff"}', {}, 400, "invalid_argument", "com.gopay.echo.Message"),
        (JSON, b'{"message":"\\ud800"}', {}, 400, "invalid_argument", "com.gopay.echo.Message"),
        (JSON, b"[" * 50_000, {}, 400, "invalid_argument", "com.gopay.echo.Message"),
        (PROTO, HI, {"content-encoding": "br"}, 501, "unimplemented", "gzip"),
        (PROTO, HI, {"content-encoding": "gzip"}, 500, "internal", "compressed message"),
        (PROTO, HI, {"connect-protocol-version": "2"}, 400, "invalid_argument", "connect-protocol-version"),
        (PROTO, HI, {"connect-timeout-ms": "1s"}, 400, "invalid_argument", "connect-timeout-ms"),
        (PROTO, HI, {"connect-timeout-ms": "12345678901"}, 400, "invalid_argument", "connect-timeout-ms"),
        (PROTO, HI, {"connect-timeout-ms": "0"}, 504, "deadline_exceeded", "deadline"),
        (PROTO, HI, {"some-bin": "!"}, 400, "invalid_argument", "some-bin"),
        (PROTO, HI, {"a": "x" * 9_000}, 400, "invalid_argument", "too much metadata"),
        (PROTO, b"\xff", {}, 500, "internal", ""),  # As the server says of any client's.
        (PROTO, bytes(70_000), {}, 429, "resource_exhausted", "limit"),
        (
            PROTO,
            gzip.compress(bytes(70_000), mtime=0),
            {"content-encoding": "gzip"},
            429,
            "resource_exhausted",
            "limit",
        ),
    ],
    ids=lambda value: str(value)[:30],
)
@EACH_VERSION
async def test_what_is_wrong_with_a_request(
    content_type: str, body: bytes, headers: Mapping[str, str], status: int, code: str, text: str, version: Version
) -> None:
    async with running_gateway(GRPC_MAX_MESSAGE_SIZE="64KiB") as gateway, version(gateway.port) as request:
        response = await call(request, GET_REPLY, content_type, body, headers)
        assert (response.status, response.json["code"]) == (status, code)
        assert text in response.json["message"]
        assert "gzip" in response.headers["accept-encoding"]


async def test_methods_whose_json_is_not_known() -> None:
    async with running_gateway([Recorder()]) as gateway, http1(gateway.port) as request:
        response = await call(request, UNARY, JSON, b"{}")
        assert (response.status, response.json["code"]) == (501, "unimplemented")


async def test_streams_have_content_types_of_their_own() -> None:
    async with running_gateway([Recorder()]) as gateway:
        async with http1(gateway.port) as request:
            response = await call(request, BIDIRECTIONAL, JSON, b"{}")
            assert response.status == 415
            assert "application/connect+json" in response.headers["accept-post"]
        async with http1(gateway.port) as request:  # Of this one nothing is known here.
            response = await call(request, PATHS[Cardinality.UNARY_STREAM], PROTO, message())
            assert (response.status, response.json["code"]) == (501, "unimplemented")
            assert "one message" in response.json["message"]


async def test_a_compressed_call_is_answered_in_kind() -> None:
    text = "hi" * 1_000
    body = gzip.compress(message(text))
    async with running_gateway([Recorder()]) as gateway:
        for accepted, encoding in (
            ({}, "gzip"),
            ({"accept-encoding": "br, gzip"}, "gzip"),
            ({"accept-encoding": "br"}, None),
        ):
            async with http1(gateway.port) as request:
                response = await call(request, UNARY, PROTO, body, {"content-encoding": "gzip", **accepted})
            assert response.headers.get("content-encoding") == encoding
            assert text.encode() in (gzip.decompress(response.body) if encoding else response.body)


@pytest.mark.parametrize(
    "query",
    [
        "encoding=json&message=" + quote('{"message":"hi"}'),
        "encoding=proto&base64=1&message=CgJoaQ",
        "encoding=proto&base64=1&message=CgJoaQ==",
        "encoding=proto&base64=0&message=%0A%02hi",
        f"encoding=proto&compression=gzip&base64=1&message={COMPRESSED_HI}",
    ],
)
async def test_a_method_without_side_effects_by_get(query: str) -> None:
    async with running_gateway() as gateway:
        answer = await http_get(gateway.port, f"{GET_REPLY}?connect=v1&{query}", {"accept-encoding": "identity"})
        assert answer.status == 200
        json = "json" in query
        assert answer.body == (b'{"success":true,"response":"from server:hi"}' if json else REPLY)
        assert answer.headers["content-type"] == (JSON if json else PROTO)
        assert answer.headers["vary"] == "accept-encoding, origin"


@pytest.mark.parametrize(
    ("path", "query", "status", "code"),
    [
        (GET_REPLY, "encoding=thrift&message=", 400, "invalid_argument"),
        (GET_REPLY, "encoding=json", 400, "invalid_argument"),
        (GET_REPLY, "encoding=proto&base64=1&message=%21", 400, "invalid_argument"),
        (GET_REPLY, "encoding=proto&compression=br&message=", 501, "unimplemented"),
        ("/no.such/Method", "encoding=proto&message=", 501, "unimplemented"),
        ("/grpc.health.v1.Health/Check", "encoding=proto&message=", 405, "unimplemented"),
        (f"{STREAMING}/ServerStream", "encoding=proto&message=", 405, "unimplemented"),
    ],
)
async def test_what_is_wrong_with_a_get(path: str, query: str, status: int, code: str) -> None:
    async with running_gateway() as gateway:
        answer = await http_get(gateway.port, f"{path}?connect=v1&{query}")
        assert answer.status == status
        assert f'"code":"{code}"'.encode() in answer.body
        assert ("allow" in answer.headers) == (status == 405)


async def test_the_gateway_s_own_routes_are_not_taken_for_calls() -> None:
    async with running_gateway() as gateway:
        answer = await http_get(gateway.port, "/grpc/x?connect=v1&encoding=json&message=%7B%7D")
        assert answer.body.endswith(b":from server:x:success:true")
        assert (await http_get(gateway.port, f"{GET_REPLY}?encoding=json&message=%7B%7D")).status == 404
