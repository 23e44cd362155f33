"""What all calls of a server share: its codecs and its event listeners."""

import logging
from dataclasses import dataclass

from grpclib.encoding.base import CodecBase, StatusDetailsCodecBase

from echo.rpc.events import ServerEvents
from echo.wire import Status

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ServerOptions:
    """What all calls of a server share.

    Attributes:
        codec: Encodes and decodes messages.
        details_codec: Encodes status details, if there is one.
        events: The server's event listeners.
    """

    codec: CodecBase
    details_codec: StatusDetailsCodecBase | None
    events: ServerEvents

    def encode_details(self, path: str, status: Status, message: str | None, details: object) -> bytes | None:
        """Encode status details; bytes are sent as they are. Without a codec, other details are dropped with a warning.

        Args:
            path: The method, for the warning.
            status: The call's status.
            message: The call's status message.
            details: Bytes, None, or whatever the codec takes.
        """
        if details is None or isinstance(details, bytes):
            return details
        if self.details_codec is None:
            log.warning("%s: the server has no status_details_codec, so the details are left out", path)
            return None
        return self.details_codec.encode(status, message, details)
