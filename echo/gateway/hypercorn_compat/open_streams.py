"""The open streams of one HTTP/2 connection: how many there are, and on which of them only the client still sends."""

from h2.connection import H2Connection
from h2.stream import StreamState


class OpenStreams:
    """Counts streams against the limit that was announced."""

    def __init__(self, connection: H2Connection, most: int) -> None:
        self._connection = connection
        self._most = most
        self._counted: set[int] = set()  # Until found closed.

    def admit(self, stream_id: int) -> bool:
        """Count a stream that a client has opened, unless that is one too many."""
        if len(self._counted) >= self._most:
            self._counted = {counted for counted in self._counted if self.is_open(counted)}
            if len(self._counted) >= self._most:
                return False
        self._counted.add(stream_id)
        return True

    def is_open(self, stream_id: int) -> bool:
        """Whether either side may still send on a stream."""
        stream = self._connection.streams.get(stream_id)
        return stream is not None and not stream.closed

    def we_send(self, stream_id: int) -> bool:
        """Whether we may still send on a stream."""
        return self.is_open(stream_id) and not self.only_client_sends(stream_id)

    def only_client_sends(self, stream_id: int) -> bool:
        """Whether we have ended our side of a stream, and the client has not ended its own."""
        stream = self._connection.streams.get(stream_id)
        return stream is not None and stream.state_machine.state is StreamState.HALF_CLOSED_LOCAL
