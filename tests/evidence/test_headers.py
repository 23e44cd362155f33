"""What records keep of a request's headers: everything but credentials."""

import pytest

from echo.evidence.headers import MAX_HEADERS_SIZE, kept_headers


@pytest.mark.parametrize(
    "name",
    [
        "authorization",
        "cookie",
        "proxy-authorization",
        "Authorization",  # Hypercorn keeps the spelling with h11_pass_raw_headers.
        "grpc-metadata-authorization",
        "Grpc-Metadata-Cookie",
        "x_api_key",
        "x-auth-token-bin",
        "x-goog-iap-jwt-assertion",  # Added on the way.
        "x-forwarded-access-token",
        "x-amzn-oidc-data",
        "x-amzn-oidc-accesstoken",
        "private-token",
        "x-vault-token",
        "x-client-secret",
        "php-auth-password",
        "apikey",
        "Ocp-Apim-Subscription-Key",
        "x-jwt",
    ],
)
def test_credentials_are_replaced_by_their_length(name: str) -> None:
    assert kept_headers([(name.encode(), b"s3cret")]) == [(name, "6")]


@pytest.mark.parametrize(
    "name",
    [
        "authorization-policy",
        "x-token-type",
        "sec-websocket-key",
        "idempotency-key",
        "x-request-id",
        "x-echo-call-id",
        "user-agent",
        ":authority",
    ],
)
def test_other_values_are_kept_as_they_came(name: str) -> None:
    assert kept_headers([(name.encode(), b"a"), (name.encode(), b"\xff")]) == [(name, "a"), (name, "\xff")]


def test_what_does_not_fit_is_cut_off() -> None:
    half = b"x" * (MAX_HEADERS_SIZE // 2)
    assert kept_headers([(b"a", half), (b"b", half), (b"c", b"")]) == [("a", half.decode())]
