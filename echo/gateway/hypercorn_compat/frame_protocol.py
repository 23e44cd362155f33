"""wsproto's frames, with every close code that is registered.

Upstream: wsproto 1.2 and 1.3 do not know 1014, "bad gateway" (IANA's WebSocket Close Code Number Registry), and answer
a close frame with it by 1002, protocol error.
"""

from typing import Final

from wsproto.frame_protocol import CloseReason, Frame, FrameProtocol, Opcode, ParseFailed

BAD_GATEWAY: Final = 1014


class Frames(FrameProtocol):
    """A server's side of the framing of one WebSocket, without extensions.

    No compression, either: a window costs some 300 KiB a connection, and a few bytes inflate to megabytes before any
    limit.
    """

    def __init__(self) -> None:
        super().__init__(False, [])

    def _process_close(self, frame: Frame) -> Frame:
        payload = frame.payload
        if isinstance(payload, bytes) and int.from_bytes(payload[:2]) == BAD_GATEWAY:
            try:
                reason = payload[2:].decode()
            except UnicodeDecodeError as error:
                raise ParseFailed(f"the reason is not UTF-8: {error}", CloseReason.INVALID_FRAME_PAYLOAD_DATA) from None
            return Frame(frame.opcode, (BAD_GATEWAY, reason), frame.frame_finished, frame.message_finished)
        return super()._process_close(frame)


def text_frame(text: str) -> bytes:
    """A text message as a server sends it: one frame, not masked (RFC 6455 §5.2)."""
    payload = text.encode()
    size = len(payload)
    if size < 126:
        return b"\x81%c%b" % (size, payload)
    if size < 0x10000:
        return b"\x81\x7e%b%b" % (size.to_bytes(2, "big"), payload)
    return b"\x81\x7f%b%b" % (size.to_bytes(8, "big"), payload)


__all__ = ["CloseReason", "Frames", "Opcode", "ParseFailed", "text_frame"]
