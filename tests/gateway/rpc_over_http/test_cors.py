"""Pages of other origins: who may call, what a preflight says, and what a page may read of a response."""

import pytest

from tests.support.gateway import RunningGateway, gateway_to, http_get, running_gateway
from tests.support.recording import Recorder
from tests.support.rpc_over_http import (
    CONNECT_STREAM,
    EACH_VERSION,
    GET_REPLY,
    HI,
    WEB,
    Version,
    call,
    http1,
    message,
    streamed,
)

pytestmark = pytest.mark.usefixtures("nothing_left")

PAGE = "https://app.test"
ASKS = {"origin": PAGE, "access-control-request-method": "POST"}


async def preflight(
    gateway: RunningGateway, headers: dict[str, str], path: str = GET_REPLY
) -> tuple[int, dict[str, str]]:
    answer = await http_get(gateway.port, path, headers, "OPTIONS")
    return answer.status, answer.headers


async def test_a_preflight_of_an_allowed_origin() -> None:
    async with running_gateway(HTTP_ALLOWED_ORIGINS=PAGE) as gateway:
        asked = "authorization,connect-protocol-version,content-type,x-own"
        status, headers = await preflight(gateway, {**ASKS, "access-control-request-headers": asked})
        assert status == 204
        assert headers["access-control-allow-origin"] == PAGE
        assert headers["access-control-allow-methods"] == "GET, POST"
        assert headers["access-control-allow-headers"] == asked
        assert headers["access-control-max-age"] == "7200"
        assert "access-control-allow-credentials" not in headers
        assert "content-length" not in headers


async def test_a_preflight_varies_by_what_was_asked() -> None:
    async with running_gateway(HTTP_ALLOWED_ORIGINS="*") as gateway, http1(gateway.port) as request:
        headers = {**ASKS, "access-control-request-headers": "no/name"}
        response = await call(request, GET_REPLY, "", b"", headers, method="OPTIONS")
        assert response.headers["access-control-allow-origin"] == PAGE
        assert response.headers["access-control-allow-headers"].startswith("content-type, connect-protocol-version")
        varies = {name.strip() for name in response.headers["vary"].split(",")}
        assert varies == {"origin", "access-control-request-method", "access-control-request-headers"}


async def test_a_preflight_of_another_origin() -> None:
    async with running_gateway(HTTP_ALLOWED_ORIGINS="https://other.test") as gateway:
        status, headers = await preflight(gateway, ASKS)
        assert status == 403
        assert "access-control-allow-origin" not in headers


async def test_options_that_are_no_preflight_of_a_call_are_the_routes() -> None:
    async with running_gateway() as gateway:
        assert (await preflight(gateway, {}))[0] == 404
        assert (await preflight(gateway, ASKS, "/healthz"))[0] == 200


@EACH_VERSION
@pytest.mark.parametrize("form", [WEB, CONNECT_STREAM, "application/proto", "application/json"])
async def test_a_page_of_another_origin_is_refused_before_the_call(form: str, version: Version) -> None:
    # Port 1 has no server: a call would end as unavailable.
    async with gateway_to(1, HTTP_ALLOWED_ORIGINS="https://other.test") as gateway, version(gateway.port) as request:
        response = await call(request, GET_REPLY, form, HI, {"origin": PAGE})
        assert response.status == 403
        assert response.json["code"] == "permission_denied"
        assert f"pages of {PAGE} may not call" in response.json["message"]
        assert response.headers["grpc-status"] == "7"
        assert "access-control-allow-origin" not in response.headers


async def test_a_get_of_another_origin_is_refused() -> None:
    async with running_gateway() as gateway:
        target = f"{GET_REPLY}?connect=v1&encoding=json&message=%7B%7D"
        assert (await http_get(gateway.port, target, {"origin": PAGE})).status == 403
        assert (await http_get(gateway.port, target)).status == 200


async def test_a_page_may_read_all_of_a_response() -> None:
    headers = {"origin": PAGE, "initial-a": "1", "trailing-b": "2"}
    async with running_gateway([Recorder()], HTTP_ALLOWED_ORIGINS=PAGE) as gateway:
        async with http1(gateway.port) as request:
            response = await call(request, "/test.Recorder/Unary", "application/proto", message(), headers)
        exposed = set(response.headers["access-control-expose-headers"].split(", "))
        assert exposed == {"accept-encoding", "initial-a", "trailer-trailing-b", "x-echo-instance", "x-request-id"}
        assert response.headers["access-control-allow-origin"] == PAGE
        assert "origin" in response.headers["vary"]
        async with http1(gateway.port) as request:
            response = await streamed(
                request,
                "/test.Recorder/Unary",
                WEB,
                [message()],
                {"origin": PAGE, "trailing-b": "2", "want-status": "5"},
            )
        exposed = set(response.headers["access-control-expose-headers"].split(", "))
        assert exposed >= {"grpc-status", "trailing-b", "x-request-id"}


async def test_errors_can_be_read_too() -> None:
    async with running_gateway(HTTP_ALLOWED_ORIGINS=PAGE) as gateway:
        for path, form in (
            ("/no.such/Method", "application/proto"),
            ("/no.such/Method", "application/grpc-web+thrift"),
        ):
            async with http1(gateway.port) as request:
                response = await call(request, path, form, HI, {"origin": PAGE})
                assert response.headers["access-control-allow-origin"] == PAGE


async def test_no_origin_no_cors() -> None:
    async with running_gateway(HTTP_ALLOWED_ORIGINS="*") as gateway, http1(gateway.port) as request:
        response = await call(request, GET_REPLY, "application/proto", HI)
        assert not any(name.startswith("access-control-") for name in response.headers)
