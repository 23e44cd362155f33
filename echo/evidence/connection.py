"""A connection as evidence tells of it."""

from collections.abc import Mapping
from contextlib import suppress

from anyio.abc import ByteStream, SocketAttribute
from anyio.streams.tls import TLSAttribute

from echo.printable import printable
from echo.transport import REQUESTED_NAME

_SHORT = {
    "commonName": "CN",
    "countryName": "C",
    "localityName": "L",
    "organizationName": "O",
    "organizationalUnitName": "OU",
    "stateOrProvinceName": "ST",
}


def local_address(stream: ByteStream) -> str:
    """Our end: host and port, or the path of a Unix socket; empty in memory."""
    with suppress(OSError):
        address = stream.extra(SocketAttribute.local_address, None)
        if isinstance(address, tuple):
            host, port = address[:2]
            return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        return printable(address or "")
    return ""


def tls_of(stream: ByteStream) -> dict[str, str] | None:
    """What was agreed on; None in plain text."""
    version = stream.extra(TLSAttribute.tls_version, None)
    if version is None:
        return None
    cipher = stream.extra(TLSAttribute.cipher, None)
    return {
        "version": version,
        "cipher": cipher[0] if cipher else "",
        "alpn": stream.extra(TLSAttribute.alpn_protocol, None) or "",
        "sni": stream.extra(REQUESTED_NAME, ""),
        "peer_subject": _subject(stream.extra(TLSAttribute.peer_certificate, None)),
    }


def _subject(certificate: Mapping[str, object] | None) -> str:
    """The subject of a certificate as ``getpeercert`` gives it, like ``CN=gateway,O=example``."""
    subject = (certificate or {}).get("subject", ())
    assert isinstance(subject, tuple)
    return ",".join(f"{_SHORT.get(name, name)}={value}" for names in subject for name, value in names)[:1_024]
