"""What a peer speaks instead of HTTP/2, as far as its first bytes tell, in words for people.

The commonest mistake in a deployment is the wrong protocol on a port; "a frame of 4740180 bytes" helps nobody.
"""

from typing import Final

from echo.wire.frames import HEADER_SIZE, PREFACE, SETTINGS

_METHODS: Final = (b"GET ", b"POST ", b"PUT ", b"HEAD ", b"DELETE ", b"OPTIONS ", b"PATCH ", b"CONNECT ", b"TRACE ")


def foreign_to_server(data: bytes) -> str:
    """Why these first bytes of a client are not HTTP/2; empty while they may be."""
    if PREFACE.startswith(data[: len(PREFACE)]):
        return ""
    if data.startswith(b"\x16\x03"):
        return "the client speaks TLS, this port does not"
    if data.startswith(_METHODS):
        line = data.split(b"\r\n", 1)[0][:80].decode("latin-1")
        return f"the client speaks HTTP/1.1 ({line!r}), this port speaks gRPC over HTTP/2"
    return f"the client does not speak HTTP/2: it began with {data[:24]!r}"


def foreign_to_client(data: bytes) -> str:
    """Why these first bytes of a server are not HTTP/2; empty while they may be."""
    if data.startswith(b"HTTP/1."):
        line = data.split(b"\r\n", 1)[0][:80].decode("latin-1")
        return f"the server speaks HTTP/1.1 ({line!r}), not gRPC over HTTP/2"
    if data.startswith((b"\x15\x03", b"\x16\x03")):
        return "the server speaks TLS, this client does not"
    # RFC 9113 §3.4: the first frame is SETTINGS, and no ACK; its length is at most 16 KiB, in three bytes.
    if len(data) >= HEADER_SIZE and (data[3] != SETTINGS or data[4] & 1 or data[0]):
        return f"the server does not speak HTTP/2: it began with {data[:24]!r}"
    return ""
