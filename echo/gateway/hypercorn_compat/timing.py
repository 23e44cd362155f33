"""How long the gateway's connections wait, for what."""

from typing import Final

CLOSE_TIMEOUT: Final = 5.0
"""Seconds that a client has to answer our close frame, or to have sent what it was sending."""

LAST_WORDS: Final = 1.0
"""Seconds for close frames and their answers once the server ends the connection."""

PATIENCE: Final = 60.0
"""Seconds without a sign of life after which a peer is dropped: one with WebSockets that answers no ping, or any that
takes nothing of what is sent to it; of HTTP/2, a stream that lets us send nothing."""
