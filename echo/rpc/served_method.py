"""What holds for all calls of a method that a server serves, worked out once: so a call looks up nothing but this."""

import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from grpclib.const import Handler
from grpclib.encoding.base import CodecBase, StatusDetailsCodecBase

from echo.rpc.codec import functions, own_functions
from echo.rpc.events import ServerEvents
from echo.rpc.specialised import Specialised
from echo.wire import Metadata, Status, Trailers

log = logging.getLogger(__name__)


@dataclass(slots=True)
class ServedMethod:
    """A method that a server serves.

    Attributes:
        path: ``/package.Service/Method``.
        handler: The service's own.
        serve: What serves a call: the handler's function, within the server's interceptors.
        announced: Whether to send the response's head as soon as the handler waits (`ServerStream.announce`).
        codec: Encodes and decodes messages.
        details_codec: Encodes status details, if there is one.
        events: The server's event listeners.
        client_streaming: Whether the client sends more than one message.
        server_streaming: Whether the server does.
        prepared: Whether `prepare` was called.
        decode: Decodes a request.
        encode: Encodes a reply whose class is ``reply_type`` itself.
    """

    path: str
    handler: Handler
    serve: Callable[[Any], Awaitable[None]]
    announced: bool
    codec: CodecBase
    details_codec: StatusDetailsCodecBase | None
    events: ServerEvents
    client_streaming: bool = field(init=False)
    server_streaming: bool = field(init=False)
    request_type: type = field(init=False)
    reply_type: type = field(init=False)
    prepared: bool = field(init=False, default=False)
    decode: Callable[[bytes], Any] = field(init=False)
    encode: Callable[[Any], bytes] = field(init=False)

    def __post_init__(self) -> None:
        self.client_streaming = self.handler.cardinality.client_streaming
        self.server_streaming = self.handler.cardinality.server_streaming
        self.request_type = self.handler.request_type
        self.reply_type = self.handler.reply_type

    def prepare(self) -> None:
        """Find the codec's functions: before the first call, when there may be no messages yet (`specialise`)."""
        self.decode = self._functions(self.request_type).decode
        self.encode = self._functions(self.reply_type).encode
        self.prepared = True

    def _functions(self, message_type: type) -> Specialised:
        try:
            return functions(self.codec, message_type)
        except TypeError as error:  # Messages will fail likewise, but there may be none.
            log.warning("%s: %s", self.path, error)
            return own_functions(self.codec, message_type)

    def trailers(self, status: Status, message: str | None, details: object, metadata: Metadata) -> Trailers:
        """How a call ends. Details that are bytes are sent as they are; others are dropped without a codec.

        Raises:
            TypeError: The status or the message is not of its type; or what the codec raises.
        """
        if not isinstance(status, Status):
            raise TypeError(f"the status must be a Status, such as Status.NOT_FOUND, not {status!r}")
        if not isinstance(message, str | None):
            raise TypeError(f"the status message must be text, not {message!r}")
        return Trailers(status, message, self._encode_details(status, message, details), metadata)

    def _encode_details(self, status: Status, message: str | None, details: object) -> bytes | None:
        if details is None or isinstance(details, bytes):
            return details
        if self.details_codec is None:
            log.warning("%s: the server has no status_details_codec, so the details are left out", self.path)
            return None
        return self.details_codec.encode(status, message, details)
