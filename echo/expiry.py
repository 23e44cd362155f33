"""When a certificate expires, read from the certificate itself: the standard library tells that only of a peer's."""

import re
import ssl
from datetime import UTC, datetime
from typing import Final

__all__ = ["expiry"]

_CERTIFICATE: Final = re.compile(r"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)
_VERSION: Final = 0xA0  # The tag of the only optional element before the validity (RFC 5280 §4.1).
_UTC_TIME: Final = 0x17  # Its years have two digits, from 1950 to 2049; GeneralizedTime's have four (§4.1.2.5).


def expiry(chain: bytes) -> float | None:
    """When the first certificate of a chain in PEM form expires, in seconds since 1970; None if it cannot be read."""
    found = _CERTIFICATE.search(chain.decode("latin-1"))
    try:
        return None if found is None else _not_after(ssl.PEM_cert_to_DER_cert(found[0]))
    except (ValueError, IndexError):  # Not base64, or not the structure of a certificate.
        return None


def _not_after(der: bytes) -> float:
    _, certificate, _ = _element(der, 0)
    _, at, _ = _element(der, certificate)  # The part that is signed: version, serial number, algorithm, issuer, ...
    tag, _, end = _element(der, at)
    if tag == _VERSION:
        at = end
    for _ in range(3):
        _, _, at = _element(der, at)
    _, validity, _ = _element(der, at)
    _, _, not_before_end = _element(der, validity)
    tag, start, end = _element(der, not_before_end)
    text = der[start:end].decode("ascii")
    if tag == _UTC_TIME:
        text = ("19" if int(text[:2]) >= 50 else "20") + text
    return datetime.strptime(text, "%Y%m%d%H%M%SZ").replace(tzinfo=UTC).timestamp()


def _element(der: bytes, at: int) -> tuple[int, int, int]:
    """The tag of the element at an offset (X.690 §8.1), and the offsets of the start and the end of its content."""
    tag, length, start = der[at], der[at + 1], at + 2
    if length & 0x80:  # The number of bytes that the length takes.
        size = length & 0x7F
        length, start = int.from_bytes(der[start : start + size]), start + size
    return tag, start, start + length
