"""The states of a WebSocket on the server's side."""

from enum import Enum, auto


class State(Enum):
    """The state of a WebSocket."""

    HANDSHAKE = auto()  # The application has not decided yet.
    REJECTING = auto()  # A response is being sent instead of the upgrade.
    OPEN = auto()  # Frames go both ways.
    CLOSING = auto()  # We have sent a close frame.
    OVER = auto()  # Nothing more is sent.
