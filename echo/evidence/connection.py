"""What a record says about its connection."""

from collections.abc import Mapping
from contextlib import suppress

from anyio.abc import ByteStream, SocketAttribute
from anyio.streams.tls import TLSAttribute

from echo.transport import REQUESTED_NAME, address_text

_SHORT = {
    "commonName": "CN",
    "countryName": "C",
    "localityName": "L",
    "organizationName": "O",
    "organizationalUnitName": "OU",
    "stateOrProvinceName": "ST",
}


def local_address(stream: ByteStream) -> str:
    """Our address: host and port, or the path of a Unix socket; empty for an in-memory stream."""
    with suppress(OSError):
        return address_text(stream.extra(SocketAttribute.local_address, None))
    return ""


def tls_of(stream: ByteStream) -> dict[str, str] | None:
    """The negotiated TLS parameters; None on a plaintext connection."""
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
    """The subject of a certificate from ``getpeercert``, as ``CN=gateway,O=example``."""
    subject = (certificate or {}).get("subject", ())
    assert isinstance(subject, tuple)
    return ",".join(f"{_SHORT.get(name, name)}={value}" for names in subject for name, value in names)[:1_024]
