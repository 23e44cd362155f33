"""The protocols in a ClientHello from OpenSSL's own client, however it is split; anything else has none."""

import ssl
from contextlib import suppress

from hypothesis import given
from hypothesis import strategies as st

from echo.transport.client_hello import HANDSHAKE, ClientHello, read_client_hello

NAMES = st.lists(st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=30), max_size=10)


def client_hello(protocols: list[str], version: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3) -> bytes:
    """What a client of OpenSSL's begins with: one record."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.maximum_version = version
    if protocols:
        context.set_alpn_protocols(protocols)
    outgoing = ssl.MemoryBIO()
    tls = context.wrap_bio(ssl.MemoryBIO(), outgoing, server_hostname="echo.test")
    with suppress(ssl.SSLWantReadError):
        tls.do_handshake()
    return outgoing.read()


def recut(hello: bytes, size: int) -> bytes:
    """The same in records of at most so many bytes."""
    message = hello[5:]
    parts = [message[start : start + size] for start in range(0, len(message), size)]
    return b"".join(hello[:3] + len(part).to_bytes(2, "big") + part for part in parts)


@given(NAMES, st.sampled_from([ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3]), st.integers(1, 1_000))
def test_offered_protocols_are_found_however_the_hello_is_split(
    protocols: list[str], version: ssl.TLSVersion, size: int
) -> None:
    expected = [name.encode() for name in protocols]
    hello = recut(client_hello(protocols, version), size)
    assert read_client_hello(hello) == ClientHello(expected, "echo.test")


@given(st.integers(0, 2**32))
def test_an_incomplete_hello_offers_nothing(cut: int) -> None:
    hello = client_hello(["h2", "http/1.1"])
    assert read_client_hello(hello[: cut % len(hello)]).protocols == []


@given(st.binary(), st.booleans())
def test_any_bytes_give_a_list_of_protocols_without_an_error(data: bytes, record: bool) -> None:
    said = bytes([HANDSHAKE, 3, 1]) + len(data).to_bytes(2, "big") + data if record else data
    assert isinstance(read_client_hello(said), ClientHello)


def test_a_record_of_another_type_offers_nothing() -> None:
    assert read_client_hello(b"\x17" + client_hello(["h2"])[1:]).protocols == []


def test_a_hello_in_one_byte_records_is_parsed_quickly() -> None:
    hello = client_hello(["h2"])
    padding = b"\0" * 100_000  # What OpenSSL takes at most, about.
    assert read_client_hello(recut(hello, 1) + recut(hello[:5] + padding, 1)).protocols == [b"h2"]
