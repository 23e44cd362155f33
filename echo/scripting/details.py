"""The ``google.rpc.Status`` of a scripted ending."""

from echo.scripting.values import Ending

_ERROR_INFO = b"type.googleapis.com/google.rpc.ErrorInfo"


def status_details(ending: Ending) -> bytes:
    """Encode a ``google.rpc.Status`` with the ending's code and message and one ``google.rpc.ErrorInfo`` as detail."""
    info = _field(1, b"SCRIPTED") + _field(2, b"echo")  # Reason, domain.
    detail = _field(1, _ERROR_INFO) + _field(2, info)  # google.protobuf.Any: the type's URL, its message.
    code = bytes((1 << 3, ending.status.value)) if ending.status.value else b""
    message = (ending.message or "").encode(errors="replace")
    return code + (_field(2, message) if message else b"") + _field(3, detail)


def _field(number: int, octets: bytes) -> bytes:
    """Encode a length-delimited protobuf field."""
    size, length = len(octets), b""
    while size > 0x7F:
        length += bytes((size & 0x7F | 0x80,))
        size >>= 7
    return bytes((number << 3 | 2,)) + length + bytes((size,)) + octets
