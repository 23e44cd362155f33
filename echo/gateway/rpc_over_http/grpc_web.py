"""gRPC-Web (https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-WEB.md): gRPC with its trailers in the body.

``application/grpc-web-text`` is the same in base64, for older browser APIs that can read a body only as text.
"""

from typing import Final

from echo.gateway.rpc_over_http.encodings import ACCEPTED, request_encoding, response_encoding
from echo.gateway.rpc_over_http.exchange import Exchange, HTTPHeaders
from echo.gateway.rpc_over_http.framing import TRAILERS, Base64Decoder, encode_base64, end_frame
from echo.gateway.rpc_over_http.metadata import encoded
from echo.gateway.rpc_over_http.outcome import Outcome, Pairs
from echo.wire import IDENTITY, encode_bin, encode_status_message

_ACCEPT_ENCODING: Final = (b"grpc-accept-encoding", ACCEPTED.encode())


class GrpcWeb:
    """gRPC-Web's format of one stream; see `echo.gateway.rpc_over_http.stream.StreamFormat`."""

    request_encoding = response_encoding = IDENTITY

    def __init__(self, content_type: str, *, text: bool) -> None:
        self._content_type = (b"content-type", content_type.encode())
        self._decoder = Base64Decoder() if text else None

    def negotiate(self, exchange: Exchange) -> None:
        """Choose the encodings from the request's headers.

        Raises:
            GRPCError: UNIMPLEMENTED.
        """
        self.request_encoding = request_encoding(exchange.header(b"grpc-encoding"))
        self.response_encoding = response_encoding(self.request_encoding, exchange.header(b"grpc-accept-encoding"))

    def unwrap(self, piece: bytes) -> bytes:
        """Decode base64, if the format is text."""
        return piece if self._decoder is None else self._decoder.feed(piece)

    def close(self) -> None:
        """Check that the body ended with a whole group of base64."""
        if self._decoder is not None:
            self._decoder.close()

    def wrap(self, frames: bytes) -> bytes:
        """Encode as base64, if the format is text."""
        return frames if self._decoder is None else encode_base64(frames)

    def head(self, initial: Pairs) -> HTTPHeaders:
        """The metadata unchanged, and the encoding of our messages."""
        headers = [self._content_type, _ACCEPT_ENCODING, *encoded(initial)]
        if self.response_encoding != IDENTITY:
            headers.append((b"grpc-encoding", self.response_encoding.encode()))
        return headers

    def end_frame(self, outcome: Outcome) -> bytes:
        """The trailers, as a block of HTTP/1.1 header lines."""
        lines = [b"%b: %b\r\n" % field for field in trailers_of(outcome)]
        return end_frame(TRAILERS, b"".join(lines))

    def without_messages(self, outcome: Outcome) -> tuple[HTTPHeaders, bytes]:
        """The trailers as headers, and no body ("trailers-only")."""
        return [self._content_type, _ACCEPT_ENCODING, *trailers_of(outcome)], b""


def trailers_of(outcome: Outcome) -> HTTPHeaders:
    """An outcome as gRPC trailers."""
    found = [(b"grpc-status", b"%d" % outcome.status.value)]
    if outcome.message:
        found.append((b"grpc-message", encode_status_message(outcome.message)))
    if outcome.details is not None:
        found.append((b"grpc-status-details-bin", encode_bin(outcome.details)))
    return found + encoded(outcome.trailers)
