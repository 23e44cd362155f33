"""The event loop that something belongs to, for those who use it from other threads."""

from threading import get_ident

from anyio.lowlevel import current_token


class EventLoop:
    """The one that runs where this is made.

    Attributes:
        token: For ``anyio.from_thread.run(..., token=)``.
    """

    def __init__(self) -> None:
        self.token = current_token()
        self._thread = get_ident()

    @property
    def here(self) -> bool:
        """Whether the caller is in its thread."""
        return get_ident() == self._thread
