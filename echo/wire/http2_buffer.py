"""`h2.frame_buffer.FrameBuffer`: bytes become frames, with checks before much is gathered; see `echo.wire.http2`."""

from h2.errors import ErrorCodes
from h2.exceptions import FrameTooLargeError, ProtocolError
from h2.frame_buffer import CONTINUATION_BACKLOG, FrameBuffer
from hyperframe.frame import ContinuationFrame, Frame


class HeaderBlockError(ProtocolError):
    """A header block that cannot be one of a list within the limits (CVE-2024-27316)."""

    error_code = ErrorCodes.ENHANCE_YOUR_CALM


class CheckedFrameBuffer(FrameBuffer):
    """h2's buffer, which looks at a frame's length first, and at what a header block in many frames comes to.

    h2 looks at the length when the whole frame is there, and gathers up to 16 MiB for that; and after other checks, so
    that the outcome depends on how the bytes are cut. Of a header block it gathers a megabyte.
    """

    def __init__(self, *, server: bool, max_header_list_size: int) -> None:
        super().__init__(server)
        # A character is at most 30 bits (RFC 7541, Appendix B), and was one byte of the list.
        self._max_block = 4 * max_header_list_size

    def _update_header_buffer(self, f: Frame | None) -> Frame | None:
        parts = self._headers_buffer
        if parts and isinstance(f, ContinuationFrame):
            size = sum(len(part.data) for part in parts) + len(f.data)
            if size > self._max_block or len(parts) >= CONTINUATION_BACKLOG:
                raise HeaderBlockError(f"a header block of {len(parts) + 1} frames and {size} bytes")
        return super()._update_header_buffer(f)

    def __next__(self) -> Frame:
        length = int.from_bytes(self._data[:3], "big") if len(self._data) >= 3 else 0
        if length > self.max_frame_size:
            raise FrameTooLargeError(f"a frame of {length} bytes is announced")
        return super().__next__()
