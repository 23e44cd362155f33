"""By which name a gateway knows the server that runs in the same process."""

import pytest

from echo.cli.programs import calling_beside
from echo.settings import load_settings

TLS = {"GRPC_SERVER_HOST": "dns:///echo.example:1,other.example", "GRPC_SERVER_TLS": "true"}
AUTHORITY = {"GRPC_CLIENT_AUTHORITY": "shop.example:443"}
NAME = {"GRPC_CLIENT_SERVER_NAME": "name.example"}


@pytest.mark.parametrize(
    ("environ", "name"),
    [
        ({}, None),
        (TLS, "echo.example"),
        (TLS | AUTHORITY, None),  # That is whose name the certificate must have then.
        (TLS | NAME, "name.example"),
        (TLS | NAME | AUTHORITY, "name.example"),
        (TLS | {"GRPC_CLIENT_INSECURE": "true"}, None),
    ],
)
def test_a_certificate_is_verified_by_the_name_the_server_is_known_by(
    environ: dict[str, str], name: str | None
) -> None:
    settings = calling_beside(load_settings(environ), 5)
    assert settings.grpc_client_server_name == name
    assert (settings.grpc_server_host, settings.grpc_server_port) == ("127.0.0.1", 5)
    assert settings.grpc_client_authority == environ.get("GRPC_CLIENT_AUTHORITY")
