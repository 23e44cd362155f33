"""The error of a caller who asks `echo.wire` for something the protocol does not allow.

What the *peer* does wrong is never an exception here: it comes as an event (`echo.wire.events.ConnectionFailed`,
`StreamReset`, `CallEnded`) or is answered on the spot.
"""


class LocalProtocolError(Exception):
    """We tried to send what the state of the stream does not allow: a bug on our side of the wire."""
