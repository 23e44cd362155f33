"""gRPC-Web, as binary and as text, over both versions of HTTP: every kind of call, metadata, errors."""

import base64
import gzip
from collections.abc import Mapping

import pytest
import trio

from echo.rpc import Cardinality, Status
from echo.services import EchoService
from echo.wire import encode_message
from tests.support.gateway import running_gateway
from tests.support.quiet_clock import QuietClock
from tests.support.recording import PATHS, STATUS, STATUS_DETAILS, STATUS_MESSAGE, Recorder
from tests.support.rpc_over_http import (
    BIDIRECTIONAL,
    EACH_VERSION,
    GET_REPLY,
    HI,
    REPLY,
    STREAMING,
    WEB,
    WEB_TEXT,
    Version,
    call,
    http1,
    http2,
    message,
    streamed,
)

pytestmark = pytest.mark.usefixtures("nothing_left")

EACH_FORM = pytest.mark.parametrize("form", [WEB, WEB_TEXT])


@EACH_VERSION
@EACH_FORM
async def test_a_unary_call(version: Version, form: str) -> None:
    async with running_gateway() as gateway, version(gateway.port) as request:
        response = await streamed(request, GET_REPLY, form, [HI], {"origin": "http://gateway.test"})
        assert (response.status, response.headers["content-type"]) == (200, form)
        assert response.messages == [REPLY]
        assert response.last == b"grpc-status: 0\r\n"


@EACH_VERSION
@EACH_FORM
async def test_streams(version: Version, form: str) -> None:
    recorder = Recorder()
    async with running_gateway([recorder]) as gateway:
        for kind, texts in (
            (Cardinality.UNARY_STREAM, ["one", "one", "one"]),
            (Cardinality.STREAM_UNARY, ["two"]),
            (Cardinality.STREAM_STREAM, ["one", "two"]),
        ):
            sent = [message("one"), message("two")][: 1 + kind.client_streaming]
            async with version(gateway.port) as request:
                response = await streamed(request, PATHS[kind], form, sent)
            assert [reply.response for reply in response.replies] == texts
            assert response.grpc_status == (0, "")


@pytest.mark.parametrize(
    ("asked", "answered"),
    [
        ("application/grpc-web", "application/grpc-web+proto"),
        ("Application/gRPC-Web+Proto; charset=x", "application/grpc-web+proto"),
        ("application/grpc-web-text", "application/grpc-web-text+proto"),
    ],
)
async def test_the_answer_names_what_it_is(asked: str, answered: str) -> None:
    async with running_gateway() as gateway, http1(gateway.port) as request:
        body = base64.b64encode(encode_message(HI)) if "text" in asked else encode_message(HI)
        response = (await call(request, GET_REPLY, asked, body)).read_frames()
        assert response.headers["content-type"] == answered
        assert response.messages == [REPLY]


async def test_messages_in_json() -> None:
    async with running_gateway() as gateway, http1(gateway.port) as request:
        response = await streamed(request, GET_REPLY, "application/grpc-web+json", [b'{"message":"hi"}'])
        assert response.headers["content-type"] == "application/grpc-web+json"
        assert response.messages == [b'{"success":true,"response":"from server:hi"}']


async def test_a_form_there_is_not() -> None:
    async with running_gateway() as gateway, http1(gateway.port) as request:
        response = await call(request, GET_REPLY, "application/grpc-web+thrift", encode_message(HI))
        assert response.status == 415
        assert "application/grpc-web+proto" in response.headers["accept-post"]


@EACH_VERSION
async def test_messages_are_relayed_as_they_come(version: Version) -> None:
    async with running_gateway() as gateway, version(gateway.port) as request:
        await request.begin("POST", BIDIRECTIONAL, [("content-type", WEB_TEXT), *_chunked(version)])
        for number in range(1, 4):
            frame = encode_message(message(f"m{number}"))
            await request.send(base64.b64encode(frame))  # Each with padding of its own.
            piece = await request.receive()
            assert piece is not None
            assert f"from server: m{number}".encode() in base64.b64decode(piece)
        await request.end()
        last = await request.receive()
        assert last is not None
        assert base64.b64decode(last)[5:] == b"grpc-status: 0\r\n"
        assert await request.receive() is None


@EACH_VERSION
async def test_metadata_goes_both_ways(version: Version) -> None:
    recorder = Recorder()
    headers = {
        "initial-text": "some text",
        "initial-octets-bin": "AP8s",
        "trailing-text": "~",
        "trailing-o-bin": "AQ==",
    }
    async with running_gateway([recorder]) as gateway, version(gateway.port) as request:
        response = await streamed(request, PATHS[Cardinality.UNARY_UNARY], WEB, [HI], headers)
        seen = await recorder.calls.next()
        assert seen.metadata["initial-octets-bin"] == b"\x00\xff,"
        assert response.headers["initial-text"] == "some text"
        assert response.headers["initial-octets-bin"] == "AP8s"
        assert response.trailers == {"grpc-status": "0", "trailing-text": "~", "trailing-o-bin": "AQ"}


@EACH_FORM
async def test_an_error_before_the_head_of_a_response_stands_in_the_headers(form: str) -> None:
    async with running_gateway() as gateway, http2(gateway.port) as request:
        response = await streamed(request, "/test.No/Method", form, [b""])
        assert (response.status, response.body) == (200, b"")
        assert response.grpc_status == (Status.UNIMPLEMENTED.value, "unknown method /test.No/Method")


@EACH_FORM
async def test_an_error_before_any_message_is_told_wherever_the_head_of_the_response_was(form: str) -> None:
    async with running_gateway() as gateway, http2(gateway.port) as request:
        response = await streamed(request, BIDIRECTIONAL, form, [b""])
        assert (response.status, response.messages) == (200, [])
        assert response.grpc_status == (Status.INVALID_ARGUMENT.value, "stream_id is required")


@EACH_FORM
async def test_an_error_after_messages_stands_in_the_last_frame(form: str) -> None:
    async with running_gateway() as gateway, http2(gateway.port) as request:
        response = await streamed(request, BIDIRECTIONAL, form, [message(), b""])
        assert len(response.messages) == 1
        assert "grpc-status" not in response.headers
        assert response.grpc_status == (Status.INVALID_ARGUMENT.value, "stream_id is required")


async def test_a_status_with_any_message_and_details() -> None:
    text = "nö, 100%\r\n🙅"
    encoded = base64.b64encode(text.encode()).decode()
    headers = {STATUS: "9", STATUS_MESSAGE: encoded, STATUS_DETAILS: "CAkSAm5v", "initial-a": "b"}
    async with running_gateway([Recorder()]) as gateway, http1(gateway.port) as request:
        response = await streamed(request, PATHS[Cardinality.UNARY_UNARY], WEB, [HI], headers)
        assert response.grpc_status == (9, text)
        assert response.trailers["grpc-status-details-bin"] == "CAkSAm5v"


@pytest.mark.parametrize(
    ("body", "headers", "status", "text"),
    [
        (b"\x02\0\0\0\0", {}, Status.INTERNAL, "flag"),
        (b"\x01\0\0\0\0", {}, Status.INTERNAL, "compressed"),
        (b"\0\0\0\0\x05abc", {}, Status.INTERNAL, "inside a message"),
        (b"\0\xff\xff\xff\xff", {}, Status.RESOURCE_EXHAUSTED, "exceeds the limit"),
        (b"\x01\0\0\0\x02!!", {"grpc-encoding": "gzip"}, Status.INTERNAL, "compressed message"),
        (encode_message(HI), {"grpc-encoding": "br"}, Status.UNIMPLEMENTED, "gzip"),
        (encode_message(HI), {"grpc-timeout": "soon"}, Status.INVALID_ARGUMENT, "Grpc-Timeout"),
        (encode_message(HI), {"some-bin": "!"}, Status.INVALID_ARGUMENT, "some-bin"),
        (encode_message(HI) + encode_message(HI), {}, Status.UNIMPLEMENTED, ""),
        (b"", {}, Status.UNIMPLEMENTED, ""),
    ],
)
async def test_what_is_wrong_with_a_request(body: bytes, headers: Mapping[str, str], status: Status, text: str) -> None:
    async with running_gateway() as gateway, http1(gateway.port) as request:
        response = (await call(request, GET_REPLY, WEB, body, headers)).read_frames()
        assert response.status == 200
        assert response.grpc_status[0] == status.value
        assert text in response.grpc_status[1]


async def test_text_that_is_no_base64() -> None:
    async with running_gateway() as gateway:
        for body in (b"!!!!", b"AAAA="):
            async with http1(gateway.port) as request:
                response = await call(request, GET_REPLY, WEB_TEXT, body)
                assert response.grpc_status == (Status.INVALID_ARGUMENT.value, "the body is not base64")


async def test_compressed_messages_are_answered_in_kind() -> None:
    text = "hi" * 1_000
    body = encode_message(gzip.compress(message(text)), compressed=True)
    async with running_gateway([Recorder()]) as gateway:
        for accepted, compressed in ({}, 1), ({"grpc-accept-encoding": "gzip"}, 1), ({"grpc-accept-encoding": "br"}, 0):
            async with http1(gateway.port) as request:
                headers = {"grpc-encoding": "gzip", **accepted}
                response = await call(request, PATHS[Cardinality.UNARY_UNARY], WEB, body, headers)
                response.read_frames()
                assert response.compressed == compressed
                assert response.headers.get("grpc-encoding") == ("gzip" if compressed else None)
                (payload,) = response.messages
                assert text.encode() in (gzip.decompress(payload) if compressed else payload)


async def test_a_gzip_bomb_is_refused() -> None:
    bomb = encode_message(gzip.compress(bytes(100_000)), compressed=True)
    async with running_gateway(GRPC_MAX_MESSAGE_SIZE="20KiB") as gateway, http1(gateway.port) as request:
        response = await call(request, GET_REPLY, WEB, bomb, {"grpc-encoding": "gzip"})
        assert response.grpc_status[0] == Status.RESOURCE_EXHAUSTED.value


async def test_unknown_methods_and_invalid_paths() -> None:
    async with running_gateway([EchoService()]) as gateway:
        for path in (f"{STREAMING}/ServerStream", "/no.such/Method", "/a/b/c", "/x"):
            async with http1(gateway.port) as request:
                response = await streamed(request, path, WEB, [HI])
                assert response.grpc_status[0] == Status.UNIMPLEMENTED.value


async def test_the_backend_is_not_there() -> None:
    async with running_gateway(GRPC_SERVER_PORT="1") as gateway, http1(gateway.port) as request:
        response = await streamed(request, GET_REPLY, WEB, [HI])
        assert response.grpc_status[0] == Status.UNAVAILABLE.value


def _chunked(version: Version) -> list[tuple[str, str]]:
    return [("transfer-encoding", "chunked")] if version is http1 else []


async def test_many_calls_on_one_connection(clock: QuietClock) -> None:
    async with running_gateway() as gateway:
        async with http1(gateway.port) as request:
            response = await streamed(request, GET_REPLY, WEB, [HI])
            assert response.messages == [REPLY]
        async with http2(gateway.port) as request:
            with trio.fail_after(10):
                for _ in range(150):  # More than may be open at once.
                    assert (await streamed(request, GET_REPLY, WEB, [HI])).messages == [REPLY]
