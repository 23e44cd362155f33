"""Protocol errors by who made them, we or the peer, and by whether a stream or the connection fails (RFC 9113 §5.4).

Only `LocalProtocolError` leaves `echo.wire`. The *peer's* errors are raised and caught inside, and are reported as
events (`echo.wire.events`) or answered directly.
"""

from echo.wire.frames import ErrorCode


class LocalProtocolError(Exception):
    """We tried to send something that the stream's state does not allow: a bug on our side."""


class _PeerError(Exception):
    def __init__(self, error_code: ErrorCode, reason: str) -> None:
        super().__init__(reason)
        self.error_code = error_code
        self.reason = reason


class PeerConnectionError(_PeerError):
    """The peer made the connection unusable: a connection error (RFC 9113 §5.4.1)."""


class ForeignProtocolError(PeerConnectionError):
    """The peer does not speak HTTP/2 at all.

    Attributes:
        answer: The reply, in the protocol that the peer does speak; empty for none.
    """

    def __init__(self, reason: str, answer: bytes = b"") -> None:
        super().__init__(ErrorCode.PROTOCOL_ERROR, reason)
        self.answer = answer


class PeerStreamError(_PeerError):
    """The peer broke the rules of the frame's stream, which ends; the others continue (RFC 9113 §5.4.2)."""


class MalformedError(PeerStreamError):
    """The header list is malformed (RFC 9113 §8.1.1); the message is a readable reason."""

    def __init__(self, reason: str) -> None:
        super().__init__(ErrorCode.PROTOCOL_ERROR, reason)
