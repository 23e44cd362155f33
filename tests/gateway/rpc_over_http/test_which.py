"""Which requests are treated as calls, and which are left to the routes."""

import random
from pathlib import Path

import pytest

from echo.gateway.rpc_over_http import speaks_rpc
from tests.support.gateway import encoded, running_gateway
from tests.support.http2 import open_http2
from tests.support.rpc_over_http import (
    CONNECT_JSON,
    CONNECT_STREAM,
    EACH_VERSION,
    GET_REPLY,
    HI,
    REPLY,
    WEB,
    WEB_TEXT,
    OverHTTP2,
    Version,
    call,
    streamed,
)
from tests.support.tls import Certificates

JSON = ("content-type", "application/json")
PREFLIGHT = (("origin", "https://app.test"), ("access-control-request-method", "POST"))


@pytest.mark.parametrize(
    ("method", "target", "headers", "wanted"),
    [
        ("POST", GET_REPLY, [("content-type", WEB)], True),
        ("POST", GET_REPLY, [("content-type", "application/grpc")], True),
        ("POST", GET_REPLY, [("content-type", "Application/Connect+JSON; charset=utf-8")], True),
        ("POST", "/NoPackage/Method", [("content-type", "application/proto")], True),
        ("POST", GET_REPLY, [JSON], True),
        ("POST", "http://gateway.test" + GET_REPLY, [JSON], True),
        ("POST", "/mounted" + GET_REPLY, [JSON], True),
        ("POST", "/grpc/key", [JSON], False),
        ("POST", GET_REPLY, [("content-type", "text/plain")], False),
        ("POST", GET_REPLY, [], False),
        ("GET", GET_REPLY + "?connect=v1&encoding=json", [], True),
        ("GET", GET_REPLY + "?a=b&connect=v1", [], True),
        ("GET", GET_REPLY + "?connect=v2", [], False),
        ("GET", GET_REPLY, [JSON], False),
        ("GET", "/grpc/key?connect=v1", [], False),
        ("OPTIONS", GET_REPLY, [*PREFLIGHT], True),
        ("OPTIONS", GET_REPLY, [PREFLIGHT[0]], False),
        ("OPTIONS", "/grpc/key", [*PREFLIGHT], False),
        ("PUT", GET_REPLY, [JSON], False),
    ],
)
def test_by_method_content_type_and_path(
    method: str, target: str, headers: list[tuple[str, str]], wanted: bool
) -> None:
    path, _, query = target.partition("?")
    scope = {
        "type": "http",
        "method": method,
        "raw_path": path.encode(),
        "query_string": query.encode(),
        "root_path": "/mounted" if path.startswith("/mounted") else "",
        "headers": encoded(*headers),
    }
    assert speaks_rpc(scope) is wanted  # type: ignore[arg-type]  # What else a scope has does not matter.


@pytest.mark.usefixtures("nothing_left")
async def test_over_tls_as_it_is_negotiated(tmp_path: Path) -> None:
    certificates = Certificates(tmp_path)
    async with (
        running_gateway(HTTP_CERT=certificates.server[0], HTTP_KEY=certificates.server[1]) as gateway,
        open_http2(gateway.port, certificates.calling()) as http2,
    ):
        response = await call(OverHTTP2(http2), GET_REPLY, "application/proto", HI)
        assert response.body == REPLY


@EACH_VERSION
@pytest.mark.parametrize("form", [WEB, WEB_TEXT, CONNECT_STREAM, CONNECT_JSON, "application/proto", "application/json"])
@pytest.mark.usefixtures("nothing_left")
async def test_any_body_gets_an_answer(form: str, version: Version) -> None:
    rng = random.Random(form)
    async with running_gateway(GRPC_MAX_MESSAGE_SIZE="1KiB") as gateway:
        for _ in range(30):
            body = bytes(rng.choice([0, 1, 2, 128, rng.randrange(256)]) for _ in range(rng.randrange(40)))
            async with version(gateway.port) as request:
                response = await call(request, GET_REPLY, form, body)
                assert response.status == 200 or response.json["code"]
                if response.status == 200 and "connect" in form:
                    assert response.read_frames().last
                elif "grpc" in form:
                    assert 0 <= response.read_frames().grpc_status[0] <= 16
        async with version(gateway.port) as request:
            assert (await streamed(request, GET_REPLY, WEB, [HI])).messages == [REPLY]
