"""How the addresses of a connection's ends are written for people."""

import pytest

from echo.transport import address_text


@pytest.mark.parametrize(
    ("address", "text"),
    [
        (("127.0.0.1", 80), "127.0.0.1:80"),
        (("::1", 80, 0, 0), "[::1]:80"),
        ("/run/echo.sock", "/run/echo.sock"),
        ("/run/\x1b", "/run/\\x1b"),
        ("", ""),
        (None, ""),
        (b"\0echo", "@echo"),
        (b"\0\xff", "@\\udcff"),
    ],
)
def test_addresses_of_any_kind_are_readable(address: object, text: str) -> None:
    assert address_text(address) == text
