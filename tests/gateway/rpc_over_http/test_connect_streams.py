"""Connect's streams, in each codec: every kind of call, the end of the stream, metadata, errors, compression."""

import gzip
import json
from collections.abc import Mapping

import pytest

from echo.rpc import Cardinality
from echo.wire import encode_message
from tests.support.gateway import running_gateway
from tests.support.recording import PATHS, STATUS, STATUS_DETAILS, STATUS_MESSAGE, Recorder
from tests.support.rpc_over_http import (
    BIDIRECTIONAL,
    CONNECT_JSON,
    CONNECT_STREAM,
    EACH_VERSION,
    GET_REPLY,
    HI,
    REPLY,
    STREAMING,
    Version,
    call,
    http1,
    http2,
    message,
    streamed,
)

pytestmark = pytest.mark.usefixtures("nothing_left")


@EACH_VERSION
async def test_every_kind_of_call(version: Version) -> None:
    recorder = Recorder()
    async with running_gateway([recorder]) as gateway:
        for kind, texts in (
            (Cardinality.UNARY_UNARY, ["one"]),
            (Cardinality.UNARY_STREAM, ["one", "one", "one"]),
            (Cardinality.STREAM_UNARY, ["two"]),
            (Cardinality.STREAM_STREAM, ["one", "two"]),
        ):
            sent = [message("one"), message("two")][: 1 + kind.client_streaming]
            async with version(gateway.port) as request:
                response = await streamed(request, PATHS[kind], CONNECT_STREAM, sent)
            assert (response.status, response.headers["content-type"]) == (200, CONNECT_STREAM)
            assert [reply.response for reply in response.replies] == texts
            assert response.last == b"{}"


@EACH_VERSION
async def test_a_stream_of_json(version: Version) -> None:
    sent = [
        b'{"stream_id":"a","message":"one"}',
        b'{"streamId":"a","sequenceNumber":"9007199254740993","message":"two"}',
    ]
    async with running_gateway() as gateway, version(gateway.port) as request:
        response = await streamed(request, BIDIRECTIONAL, CONNECT_JSON, sent)
        assert response.headers["content-type"] == CONNECT_JSON
        found = [json.loads(reply) for reply in response.messages]
        assert [(reply["response"], reply["sequenceNumber"]) for reply in found] == [
            ("from server: one", "1"),
            ("from server: two", "2"),
        ]
        assert all(isinstance(reply["timestamp"], str) for reply in found)


@EACH_VERSION
async def test_messages_are_relayed_as_they_come(version: Version) -> None:
    async with running_gateway() as gateway, version(gateway.port) as request:
        chunked = [("transfer-encoding", "chunked")] if version is http1 else []
        await request.begin("POST", BIDIRECTIONAL, [("content-type", CONNECT_STREAM), *chunked])
        for number in range(1, 4):
            frame = encode_message(message(f"m{number}"))
            await request.send(frame[:3])
            await request.send(frame[3:])
            piece = await request.receive()
            assert piece is not None
            assert f"from server: m{number}".encode() in piece
        await request.end()
        assert await request.receive() == b"\x02\0\0\0\x02{}"
        assert await request.receive() is None


async def test_two_streams_beside_each_other_on_one_connection() -> None:
    async with running_gateway() as gateway, http2(gateway.port) as one:
        other = type(one)(one.http2)
        for request in (one, other):
            await request.begin("POST", BIDIRECTIONAL, [("content-type", CONNECT_STREAM)])
        for number in ("1", "2"):
            for request in (one, other):
                await request.send(encode_message(message(number)))
                assert f"from server: {number}".encode() in (await request.receive() or b"")
        await one.leave()
        await other.end()
        assert await other.receive() == b"\x02\0\0\0\x02{}"


@EACH_VERSION
async def test_metadata_goes_both_ways(version: Version) -> None:
    headers = {"initial-text": "some text", "initial-o-bin": "AP8s", "trailing-text": "~", "trailing-o-bin": "AQ=="}
    async with running_gateway([Recorder()]) as gateway, version(gateway.port) as request:
        response = await streamed(request, PATHS[Cardinality.STREAM_STREAM], CONNECT_STREAM, [message()], headers)
        assert response.headers.items() >= {"initial-text": "some text", "initial-o-bin": "AP8s"}.items()
        assert response.end == {"metadata": {"trailing-text": ["~"], "trailing-o-bin": ["AQ"]}}


@pytest.mark.parametrize("before", [0, 1])
async def test_an_error_stands_in_the_end_of_the_stream(before: int) -> None:
    async with running_gateway() as gateway, http2(gateway.port) as request:
        response = await streamed(request, BIDIRECTIONAL, CONNECT_STREAM, before * [message()] + [b""])
        assert (response.status, len(response.messages)) == (200, before)
        assert response.end == {"error": {"code": "invalid_argument", "message": "stream_id is required"}}


async def test_an_error_with_details_and_metadata() -> None:
    headers = {STATUS: "5", STATUS_MESSAGE: "bm8=", STATUS_DETAILS: "CAUSAm5vGgYKBC9hLmI=", "trailing-a": "b"}
    async with running_gateway([Recorder()]) as gateway, http1(gateway.port) as request:
        response = await streamed(request, PATHS[Cardinality.STREAM_STREAM], CONNECT_STREAM, [message()], headers)
        details = [{"type": "a.b", "value": ""}]
        assert response.end == {
            "error": {"code": "not_found", "message": "no", "details": details},
            "metadata": {"trailing-a": ["b"]},
        }


@pytest.mark.parametrize(
    ("content_type", "body", "headers", "code", "text"),
    [
        (CONNECT_STREAM, b"\x02\0\0\0\x02{}", {}, "internal", "flag"),
        (CONNECT_STREAM, b"\0\0\0\0\x05abc", {}, "internal", "inside a message"),
        (CONNECT_STREAM, b"\0\xff\xff\xff\xff", {}, "resource_exhausted", "exceeds the limit"),
        (CONNECT_STREAM, b"", {"connect-content-encoding": "br"}, "unimplemented", "gzip"),
        (CONNECT_STREAM, b"", {"connect-timeout-ms": "1.5"}, "invalid_argument", "connect-timeout-ms"),
        (CONNECT_STREAM, b"", {"connect-protocol-version": "2"}, "invalid_argument", "connect-protocol-version"),
        (CONNECT_JSON, encode_message(b"{"), {}, "invalid_argument", "com.gopay.echo.streaming.StreamMessage"),
    ],
)
async def test_what_is_wrong_with_a_request(
    content_type: str, body: bytes, headers: Mapping[str, str], code: str, text: str
) -> None:
    async with running_gateway() as gateway, http1(gateway.port) as request:
        response = (await call(request, BIDIRECTIONAL, content_type, body, headers)).read_frames()
        assert response.status == 200
        assert response.end["error"]["code"] == code
        assert text in response.end["error"]["message"]
        assert response.headers["connect-accept-encoding"] == "identity,gzip"


async def test_a_bad_message_ends_a_call_that_is_under_way() -> None:
    recorder = Recorder()
    async with running_gateway([recorder]) as gateway, http2(gateway.port) as request:
        body = encode_message(message()) + b"\x07\0\0\0\0"
        await request.begin("POST", PATHS[Cardinality.STREAM_STREAM], [("content-type", CONNECT_STREAM)])
        await request.send(body)
        pieces = b""
        while (piece := await request.receive()) is not None:
            pieces += piece
        assert b'"code":"internal"' in pieces
        seen = await recorder.calls.next()
        await seen.ended.wait()
        assert seen.cancelled.is_set()


async def test_compressed_messages_are_answered_in_kind() -> None:
    text = "hi" * 1_000
    body = encode_message(gzip.compress(message(text)), compressed=True)
    headers = {"connect-content-encoding": "gzip", "connect-accept-encoding": "gzip"}
    async with running_gateway([Recorder()]) as gateway, http1(gateway.port) as request:
        response = await call(request, PATHS[Cardinality.STREAM_STREAM], CONNECT_STREAM, body, headers)
        response.read_frames()
        assert response.headers["connect-content-encoding"] == "gzip"
        assert response.compressed == 1
        assert text.encode() in gzip.decompress(response.messages[0])


async def test_unary_methods_may_be_called_as_streams() -> None:
    async with running_gateway() as gateway, http1(gateway.port) as request:
        assert (await streamed(request, GET_REPLY, CONNECT_STREAM, [HI])).messages == [REPLY]


async def test_a_codec_there_is_not() -> None:
    async with running_gateway() as gateway, http1(gateway.port) as request:
        response = await call(request, f"{STREAMING}/ServerStream", "application/connect+thrift", b"")
        assert response.status == 415
        assert CONNECT_STREAM in response.headers["accept-post"]
