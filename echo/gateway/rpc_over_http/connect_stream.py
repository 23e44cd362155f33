"""Connect's streams (https://connectrpc.com/docs/protocol/#streaming-rpcs): framed messages; the last frame is JSON.

The HTTP status is always 200.
"""

from typing import Final

from echo.gateway.rpc_over_http.encodings import ACCEPTED, request_encoding, response_encoding
from echo.gateway.rpc_over_http.exchange import Exchange, HTTPHeaders
from echo.gateway.rpc_over_http.framing import END_STREAM, end_frame
from echo.gateway.rpc_over_http.metadata import encoded
from echo.gateway.rpc_over_http.outcome import Outcome, Pairs, end_of_stream
from echo.wire import IDENTITY

_ACCEPT_ENCODING: Final = (b"connect-accept-encoding", ACCEPTED.encode())


class ConnectStream:
    """Connect's format of one stream; see `echo.gateway.rpc_over_http.stream.StreamFormat`."""

    request_encoding = response_encoding = IDENTITY

    def __init__(self, content_type: str) -> None:
        self._content_type = (b"content-type", content_type.encode())

    def negotiate(self, exchange: Exchange) -> None:
        """Choose the encodings from the request's headers.

        Raises:
            GRPCError: UNIMPLEMENTED.
        """
        self.request_encoding = request_encoding(exchange.header(b"connect-content-encoding"))
        self.response_encoding = response_encoding(self.request_encoding, exchange.header(b"connect-accept-encoding"))

    def unwrap(self, piece: bytes) -> bytes:
        """Return the piece unchanged: the body consists of frames."""
        return piece

    def close(self) -> None:
        """Nothing to check: the frames show whether the body is complete."""

    def wrap(self, frames: bytes) -> bytes:
        """Return the frames unchanged."""
        return frames

    def head(self, initial: Pairs) -> HTTPHeaders:
        """The metadata unchanged, and the encoding of our messages."""
        headers = [self._content_type, _ACCEPT_ENCODING, *encoded(initial)]
        if self.response_encoding != IDENTITY:
            headers.append((b"connect-content-encoding", self.response_encoding.encode()))
        return headers

    def end_frame(self, outcome: Outcome) -> bytes:
        """The EndStreamResponse."""
        return end_frame(END_STREAM, end_of_stream(outcome))

    def without_messages(self, outcome: Outcome) -> tuple[HTTPHeaders, bytes]:
        """The EndStreamResponse as the only frame."""
        return [self._content_type, _ACCEPT_ENCODING], self.end_frame(outcome)
