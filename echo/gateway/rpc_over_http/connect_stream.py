"""Connect's streams (https://connectrpc.com/docs/protocol/#streaming-rpcs): framed messages, the last one in JSON.

The HTTP status is 200 however the call ends.
"""

from typing import Final

from echo.gateway.rpc_over_http.encodings import ACCEPTED, request_encoding, response_encoding
from echo.gateway.rpc_over_http.exchange import Exchange, HTTPHeaders
from echo.gateway.rpc_over_http.framing import END_STREAM, last_frame
from echo.gateway.rpc_over_http.metadata import encoded
from echo.gateway.rpc_over_http.outcome import Outcome, Pairs, end_of_stream
from echo.wire import IDENTITY

_ACCEPT_ENCODING: Final = (b"connect-accept-encoding", ACCEPTED.encode())


class ConnectStream:
    """Connect's form of one stream; see `echo.gateway.rpc_over_http.stream.Form`."""

    request_encoding = response_encoding = IDENTITY

    def __init__(self, content_type: str) -> None:
        self._content_type = (b"content-type", content_type.encode())

    def negotiate(self, exchange: Exchange) -> None:
        """Take in how the client compresses.

        Raises:
            GRPCError: UNIMPLEMENTED.
        """
        self.request_encoding = request_encoding(exchange.header(b"connect-content-encoding"))
        self.response_encoding = response_encoding(self.request_encoding, exchange.header(b"connect-accept-encoding"))

    def unwrap(self, piece: bytes) -> bytes:
        """The frames are the body."""
        return piece

    def close(self) -> None:
        """The frames say whether the body ended as it should."""

    def wrap(self, frames: bytes) -> bytes:
        """The frames are the body."""
        return frames

    def head(self, initial: Pairs) -> HTTPHeaders:
        """Metadata as it is, and how our messages are compressed."""
        headers = [self._content_type, _ACCEPT_ENCODING, *encoded(initial)]
        if self.response_encoding != IDENTITY:
            headers.append((b"connect-content-encoding", self.response_encoding.encode()))
        return headers

    def last(self, outcome: Outcome) -> bytes:
        """The EndStreamResponse."""
        return last_frame(END_STREAM, end_of_stream(outcome))

    def alone(self, outcome: Outcome) -> tuple[HTTPHeaders, bytes]:
        """The same, in a response that has nothing else."""
        return [self._content_type, _ACCEPT_ENCODING], self.last(outcome)
