"""Who erred: we, or the peer; and how far a peer's error reaches (RFC 9113 §5.4).

Only `LocalProtocolError` leaves `echo.wire`. What the *peer* does wrong is raised and caught within, and is reported as
an event (`echo.wire.events`) or answered on the spot.
"""

from echo.wire.frames import ErrorCode


class LocalProtocolError(Exception):
    """We tried to send what the state of the stream does not allow: a bug on our side of the wire."""


class PeerConnectionError(Exception):
    """The peer made further use of the connection impossible: a connection error (RFC 9113 §5.4.1)."""

    def __init__(self, error_code: ErrorCode, reason: str) -> None:
        super().__init__(reason)
        self.error_code = error_code
        self.reason = reason


class ForeignProtocolError(PeerConnectionError):
    """The peer does not speak HTTP/2 at all.

    Attributes:
        answer: What to tell it in the protocol that it does speak; empty for nothing.
    """

    def __init__(self, reason: str, answer: bytes = b"") -> None:
        super().__init__(ErrorCode.PROTOCOL_ERROR, reason)
        self.answer = answer


class PeerStreamError(Exception):
    """The peer broke the rules of one stream, which ends; the others go on: a stream error (RFC 9113 §5.4.2)."""

    def __init__(self, stream_id: int, error_code: ErrorCode, reason: str) -> None:
        super().__init__(reason)
        self.stream_id = stream_id
        self.error_code = error_code
        self.reason = reason
