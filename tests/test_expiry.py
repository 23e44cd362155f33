"""When a certificate expires, compared with what another library reads."""

import ssl
from datetime import UTC, datetime, timedelta

import pytest
import trustme
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID
from hypothesis import given
from hypothesis import strategies as st

from echo.expiry import expiry

Key = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey
KEYS: list[Key] = [ec.generate_private_key(ec.SECP256R1()), rsa.generate_private_key(65537, 2048)]
MOMENTS = st.datetimes(datetime(1951, 1, 1), datetime(9999, 12, 31), timezones=st.just(UTC))  # noqa: DTZ001


def certificate(not_after: datetime, key: Key = KEYS[0], serial: int = 1, names: int = 1) -> bytes:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"name {number}") for number in range(names)])
    builder = x509.CertificateBuilder(name, name, key.public_key(), serial, datetime(1950, 2, 3, tzinfo=UTC), not_after)
    return builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


@pytest.mark.parametrize("key", KEYS, ids=["EC", "RSA"])
@given(not_after=MOMENTS, serial=st.integers(1, 2**159 - 1), names=st.integers(0, 40))
def test_the_moment_is_the_one_in_the_certificate(key: Key, not_after: datetime, serial: int, names: int) -> None:
    whole = not_after.replace(microsecond=0)
    assert expiry(certificate(whole, key, serial, names)) == whole.timestamp()


def test_of_a_chain_it_is_the_first_certificate_s() -> None:
    now = datetime.now(UTC).replace(microsecond=0)
    chain = b"a comment\n" + certificate(now) + certificate(now - timedelta(days=1))
    assert expiry(chain) == now.timestamp()
    leaf = trustme.CA().issue_cert("a", not_after=now)
    both = leaf.private_key_and_cert_chain_pem.bytes()
    assert expiry(both) == now.timestamp()


DER = ssl.PEM_cert_to_DER_cert(certificate(datetime(2040, 1, 1, tzinfo=UTC)).decode())


@given(st.dictionaries(st.integers(0, 200), st.integers(0, 255), min_size=1), st.integers(0, 200))
def test_a_damaged_certificate_is_no_error(changes: dict[int, int], kept: int) -> None:
    damaged = bytearray(DER)
    for at, value in changes.items():
        damaged[at] = value
    for content in (damaged, damaged[:kept]):
        assert isinstance(expiry(ssl.DER_cert_to_PEM_cert(bytes(content)).encode()), float | None)


@pytest.mark.parametrize("content", [b"", b"\xff\xfe", b"-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----"])
def test_without_a_certificate_there_is_no_moment(content: bytes) -> None:
    assert expiry(content) is None
