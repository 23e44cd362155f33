"""Why the other side ended a TLS handshake, for people: OpenSSL only names the alert that came (RFC 8446 §6.2)."""

from typing import Final

__all__ = ["alert_in_words"]

_REFUSED: Final = "refuses our certificate"
_WORDS: Final = {
    "SSLV3_ALERT_BAD_CERTIFICATE": _REFUSED,
    "SSLV3_ALERT_CERTIFICATE_EXPIRED": f"{_REFUSED}, which has expired",
    "SSLV3_ALERT_CERTIFICATE_REVOKED": f"{_REFUSED}, which has been revoked",
    "SSLV3_ALERT_CERTIFICATE_UNKNOWN": _REFUSED,
    "SSLV3_ALERT_HANDSHAKE_FAILURE": "shares no cipher with us, or requires a client certificate",
    "SSLV3_ALERT_UNSUPPORTED_CERTIFICATE": _REFUSED,
    "TLSV13_ALERT_CERTIFICATE_REQUIRED": "requires a client certificate",
    "TLSV1_ALERT_ACCESS_DENIED": _REFUSED,
    "TLSV1_ALERT_PROTOCOL_VERSION": "does not speak TLS on this port, or no version of it that we do",
    "TLSV1_ALERT_UNKNOWN_CA": f"{_REFUSED}: it does not know who signed it",
    "TLSV1_UNRECOGNIZED_NAME": "has no certificate for the name that we asked for",
    "WRONG_VERSION_NUMBER": "does not speak TLS",
}


def alert_in_words(error: BaseException | None, subject: str = "it") -> str:
    """The reason in an `ssl.SSLError` as a clause about the other side, the subject; empty if there are no words."""
    words = _WORDS.get(str(getattr(error, "reason", None)))
    return f"{subject} {words}" if words else ""
