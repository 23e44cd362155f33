"""TLS files that are renewed while they are in use, as cert-manager and Kubernetes do it."""

import ssl
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path

import trustme

from tests.support.serving import LOOPBACK
from tests.support.tls import CLIENT_NAME, shake_hands


class Mounted:
    """A Secret as Kubernetes mounts it: each file is a link through ``..data``, which is itself a link to a folder.

    Attributes:
        authority: Issues the certificates.
        cert, key, ca: The paths to configure.
    """

    def __init__(self, folder: Path, authority: trustme.CA, *names: str) -> None:
        self.authority = authority
        self._folder = folder
        self._names = names or (LOOPBACK, "localhost")
        self._version = 0
        folder.mkdir()
        self.renew()
        for name in ("tls.crt", "tls.key", "ca.crt"):
            (folder / name).symlink_to(f"..data/{name}")
        self.cert, self.key, self.ca = (str(folder / name) for name in ("tls.crt", "tls.key", "ca.crt"))

    @property
    def data(self) -> Path:
        """The folder of the version that the links lead to."""
        return self._folder / "..data"

    def renew(self, not_after: datetime | None = None, trusted: Iterable[trustme.CA] = ()) -> None:
        """Replace all files at once by another version; ``ca.crt`` has the authority, or those that are given."""
        self._version += 1
        version = self._folder / f"..{self._version}"
        version.mkdir()
        leaf = self.authority.issue_cert(*self._names, not_after=not_after)
        (version / "tls.crt").write_bytes(b"".join(part.bytes() for part in leaf.cert_chain_pems))
        (version / "tls.key").write_bytes(leaf.private_key_pem.bytes())
        (version / "ca.crt").write_bytes(b"".join(one.cert_pem.bytes() for one in trusted or [self.authority]))
        link = self._folder / "..data_tmp"
        link.symlink_to(version.name)
        link.replace(self.data)

    def serial(self) -> bytes:
        """The certificate as it is now, to tell it from others."""
        return ssl.PEM_cert_to_DER_cert((self.data / "tls.crt").read_text().partition("-----END")[0] + END)


END = "-----END CERTIFICATE-----\n"


def mounted_client(folder: Path, authority: trustme.CA) -> Mounted:
    """The same with a client's certificate."""
    return Mounted(folder, authority, CLIENT_NAME)


def presented(serving: ssl.SSLContext, calling: ssl.SSLContext) -> tuple[bytes, bytes | None]:
    """Let two contexts shake hands in memory; returns the certificates, in DER, that the server and the client show."""
    far, near = shake_hands(serving, calling, LOOPBACK)
    shown = near.getpeercert(True)
    assert shown is not None
    return shown, far.getpeercert(True)
