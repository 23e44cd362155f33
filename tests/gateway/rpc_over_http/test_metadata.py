"""Which headers become metadata on the way there, and which metadata become headers on the way back."""

import pytest
from multidict import MultiDict

from echo.gateway.metadata import BadHeaderError
from echo.gateway.rpc_over_http.metadata import context_of, pairs_of
from echo.rpc import Cardinality
from tests.support.gateway import encoded, running_gateway
from tests.support.recording import PATHS, Recorder
from tests.support.rpc_over_http import http1, http2, message, streamed

# What browsers, proxies and HTTP itself add to a call of a page.
NOT_METADATA = {
    "host": "gateway.test",
    "connection": "keep-alive, X-Hop",
    "x-hop": "of this connection alone",
    "te": "trailers",
    "accept": "*/*",
    "accept-encoding": "gzip",
    "user-agent": "Mozilla/5.0",
    "x-user-agent": "connect-es/2.1.2",
    "x-grpc-web": "1",
    "origin": "https://app.test",
    "referer": "https://app.test/page",
    "cookie": "session=secret",
    "sec-fetch-mode": "cors",
    "content-type": "application/proto",
    "connect-protocol-version": "1",
    "connect-timeout-ms": "1000",
    "grpc-accept-encoding": "gzip",
    "grpc-status": "0",
    "access-control-request-method": "POST",
    "forwarded": "for=10.0.0.1",
    "x-forwarded-proto": "https",
    "x-real-ip": "10.0.0.1",
    "via": "1.1 proxy",
    "x-envoy-expected-rq-timeout-ms": "15000",
    "trailer-x": "y",
    "!#": "no key of gRPC's",
    "x-latin": "é",
}


def test_a_client_s_own_headers_are_metadata_and_the_others_are_not() -> None:
    own = [("location", "Ulm"), ("x-own", "a, b"), ("x-own", "c"), ("tenant.id_1", " d "), ("o-bin", "AP8=, AQ")]
    context = context_of(encoded(*NOT_METADATA.items(), *own), "id", None)
    assert context.metadata == [
        ("x-request-id", "id"),
        ("location", "Ulm"),
        ("x-own", "a, b"),
        ("x-own", "c"),
        ("tenant.id_1", "d"),
        ("o-bin", b"\x00\xff"),
        ("o-bin", b"\x01"),
    ]


def test_what_the_gateway_owns_or_passes_on_anyway_is_there_once() -> None:
    headers = encoded(
        ("authorization", "me"), ("traceparent", "t"), ("x-b3-traceid", "b"), ("x-forwarded-for", "1.1.1.1")
    )
    context = context_of([*headers, (b"x-request-id", b"other")], "id", "2.2.2.2")
    assert sorted(context.metadata) == [
        ("authorization", "me"),
        ("traceparent", "t"),
        ("x-b3-traceid", "b"),
        ("x-forwarded-for", "1.1.1.1, 2.2.2.2"),
        ("x-request-id", "id"),
    ]


@pytest.mark.parametrize("header", [("o-bin", "!"), ("x-own", "x" * 9_000), ("grpc-metadata-te", "x")])
def test_what_can_t_be_passed_on_is_refused(header: tuple[str, str]) -> None:
    with pytest.raises(BadHeaderError):
        context_of(encoded(header), "id", None)


def test_metadata_that_would_mean_something_else_in_a_response_is_left_out() -> None:
    metadata: MultiDict[str | bytes] = MultiDict(
        [
            ("x-own", "1"),
            ("x-own", "2"),
            ("o-bin", b"\xff"),
            ("set-cookie", "a=b"),
            ("location", "/"),
            ("access-control-allow-origin", "*"),
            ("content-length", "7"),
            ("x-request-id", "other"),
            ("x-lines", "a\r\nb: c"),
            ("x-latin", "é"),
            ("x y", "z"),
        ]
    )
    assert list(pairs_of(metadata)) == [("x-own", "1"), ("x-own", "2"), ("o-bin", "/w")]


@pytest.mark.parametrize("version", [http1, http2])
@pytest.mark.usefixtures("nothing_left")
async def test_a_server_that_answers_with_headers_of_http_breaks_nothing(version: type) -> None:
    headers = {"initial-set-cookie": "x", "initial-a": "b", "x-request-id": "mine"}
    async with running_gateway([Recorder()]) as gateway, version(gateway.port) as request:
        response = await streamed(
            request, PATHS[Cardinality.STREAM_STREAM], "application/grpc-web", [message()], headers
        )
        assert response.headers["x-request-id"] == "mine"
        assert response.headers["initial-a"] == "b"
        assert len(response.messages) == 1
