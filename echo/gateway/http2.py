"""Hypercorn's side of one HTTP/2 connection, mended: what comes for a stream that is over is no fault of anybody's.

A client may well send DATA, or the end of its stream, after we have ended ours: it has not heard of it yet (RFC 9113
§5.1). Hypercorn 0.18 then fails, and with it all that goes on in the other streams of the connection.
"""

from contextlib import suppress

import h2.events
from h2.exceptions import ProtocolError
from hypercorn.protocol.h2 import H2Protocol


class HTTP2Protocol(H2Protocol):
    """Takes the place of Hypercorn's ``H2Protocol``; see `echo.gateway.connection`."""

    async def _handle_events(self, events: list[h2.events.Event]) -> None:
        for event in events:
            if isinstance(event, h2.events.DataReceived) and event.stream_id not in self.streams:
                with suppress(ProtocolError):  # It still counts for the connection's window (RFC 9113 §5.1, §6.9).
                    self.connection.acknowledge_received_data(event.flow_controlled_length or 0, event.stream_id or 0)
            else:
                await super()._handle_events([event])
        await self._flush()
