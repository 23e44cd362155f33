"""Why the other side ended a TLS handshake, for people: OpenSSL only names the alert that came (RFC 8446 §6.2)."""

from typing import Final

__all__ = ["alert_in_words"]

_REFUSED: Final = "it refuses our certificate"
_WORDS: Final = {
    "SSLV3_ALERT_BAD_CERTIFICATE": _REFUSED,
    "SSLV3_ALERT_CERTIFICATE_EXPIRED": f"{_REFUSED}, which has expired",
    "SSLV3_ALERT_CERTIFICATE_REVOKED": f"{_REFUSED}, which has been revoked",
    "SSLV3_ALERT_CERTIFICATE_UNKNOWN": _REFUSED,
    "SSLV3_ALERT_HANDSHAKE_FAILURE": "it shares no cipher with us, or requires a client certificate",
    "SSLV3_ALERT_UNSUPPORTED_CERTIFICATE": _REFUSED,
    "TLSV13_ALERT_CERTIFICATE_REQUIRED": "it requires a client certificate",
    "TLSV1_ALERT_ACCESS_DENIED": _REFUSED,
    "TLSV1_ALERT_PROTOCOL_VERSION": "it does not speak TLS on this port, or no version of it that we do",
    "TLSV1_ALERT_UNKNOWN_CA": f"{_REFUSED}: it does not know who signed it",
    "TLSV1_UNRECOGNIZED_NAME": "it has no certificate for the name that we asked for",
    "WRONG_VERSION_NUMBER": "it does not speak TLS",
}


def alert_in_words(error: BaseException | None) -> str:
    """The reason in an `ssl.SSLError` as a clause about the other side, "it"; empty if there are no words for it."""
    reason = getattr(error, "reason", None)
    return _WORDS.get(reason, "") if isinstance(reason, str) else ""
