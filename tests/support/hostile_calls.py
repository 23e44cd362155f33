"""A server in memory that answers calls with any frames that a test chooses, and frames to choose from."""

import base64
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any, TypeAlias, Unpack, cast

import trio
from anyio import BrokenResourceError, EndOfStream
from anyio.abc import ByteStream
from hyperframe.frame import (
    ContinuationFrame,
    DataFrame,
    Frame,
    GoAwayFrame,
    HeadersFrame,
    PingFrame,
    PriorityFrame,
    PushPromiseFrame,
    RstStreamFrame,
    SettingsFrame,
    WindowUpdateFrame,
)

from echo.rpc import Channel, open_channel_over
from echo.rpc.channel_options import ChannelOptions
from echo.transport.memory import memory_stream_pair
from echo.wire.message import encode_message
from tests.support.raw import SETTINGS, SETTINGS_ACK, RawConnection

HEAD = [(":status", "200"), ("content-type", "application/grpc")]
OK = [("grpc-status", "0")]

Part: TypeAlias = Callable[[RawConnection, int], bytes]
"""Encodes what the server sends on the call's stream."""


class _Socket:
    """A memory stream with the methods of a socket stream, for `RawConnection`."""

    def __init__(self, stream: ByteStream) -> None:
        self._stream = stream

    async def send_all(self, data: bytes) -> None:
        with suppress(BrokenResourceError):  # The client has already gone.
            await self._stream.send(data)

    async def receive_some(self, max_bytes: int) -> bytes:
        try:
            return await self._stream.receive(max_bytes)
        except EndOfStream:
            return b""

    async def aclose(self) -> None:
        await self._stream.aclose()


@asynccontextmanager
async def hostile_channel(parts: Sequence[Part], **options: Unpack[ChannelOptions]) -> AsyncIterator[Channel]:
    """A channel to a server that answers the head of each call with all of these parts at once."""

    async def serve(stream: ByteStream) -> None:
        connection = RawConnection(cast("trio.SocketStream", _Socket(stream)))
        async with stream, trio.open_nursery() as nursery:
            nursery.start_soon(listen, connection)
            await connection.send(SETTINGS, SETTINGS_ACK)
            stream_id = 1
            while await connection.came(lambda: stream_id in connection.streams):  # noqa: B023 - asked for at once
                for part in parts:
                    if part is close:
                        nursery.cancel_scope.cancel()
                    await connection.send(part(connection, stream_id))
                stream_id += 2

    async def listen(connection: RawConnection) -> None:
        await connection.listen(preface=True)

    async with trio.open_nursery() as nursery:

        async def dial() -> ByteStream:
            ours, theirs = memory_stream_pair(1_000)
            nursery.start_soon(serve, theirs)
            return ours

        async with open_channel_over(dial, "memory", **options) as channel:
            yield channel
        nursery.cancel_scope.cancel()


# What a server may send


def head(fields: Sequence[tuple[str, str]], *, end: bool = False) -> Part:
    return lambda connection, stream_id: connection.head(stream_id, fields, end=end)


def frame(kind: Callable[..., Frame], **values: Any) -> Part:
    return lambda _, stream_id: kind(stream_id, **values).serialize()


def on_connection(kind: Callable[..., Frame], stream_id: int = 0, **values: Any) -> Part:
    return lambda *_: kind(stream_id, **values).serialize()


def data(payload: bytes, *, end: bool = False) -> Part:
    return frame(DataFrame, data=payload, flags=["END_STREAM"] if end else [])


def raw(payload: bytes) -> Part:
    return lambda *_: payload


def close(connection: RawConnection, stream_id: int) -> bytes:
    return b""


def goaway(last: int, code: int = 0) -> Part:
    return on_connection(GoAwayFrame, last_stream_id=last, error_code=code)


def details(payload: bytes) -> tuple[str, str]:
    return "grpc-status-details-bin", base64.b64encode(payload).decode()


PARTS: dict[str, Part] = {
    "head": head(HEAD),
    "head and end": head(HEAD, end=True),
    "informational head": head([(":status", "103")]),
    "head of gzip": head([*HEAD, ("grpc-encoding", "gzip")]),
    "head of an unknown encoding": head([*HEAD, ("grpc-encoding", "zip")]),
    "head of a page": head([(":status", "503"), ("content-type", "text/html")]),
    "head without a status": head([("content-type", "application/grpc")]),
    "head with broken metadata": head([*HEAD, ("x-bin", "!")]),
    "malformed head": head([*HEAD, ("X-Upper", "1"), ("connection", "close")]),
    "head with content-length": head([*HEAD, ("content-length", "1")]),
    "message": data(encode_message(b"fine")),
    "message and end": data(encode_message(b"fine"), end=True),
    "undecodable message": data(encode_message(b"undecodable")),
    "half a message": data(encode_message(b"fine")[:7]),
    "half a message and end": data(encode_message(b"fine")[:7], end=True),
    "compressed message": data(b"\x01" + encode_message(b"no gzip")[1:]),
    "unknown flag": data(b"\x02\x00\x00\x00\x00"),
    "huge message": data(b"\x00\xff\xff\xff\xff"),
    "nothing": data(b""),
    "nothing and end": data(b"", end=True),
    "ok": head(OK, end=True),
    "ok without an end": head(OK),
    "error": head([("grpc-status", "5"), ("grpc-message", "not here")], end=True),
    "error at once": head([*HEAD, ("grpc-status", "5")], end=True),
    "trailers without a status": head([("x", "y")], end=True),
    "invalid status": head([("grpc-status", "many")], end=True),
    "invalid message": head([("grpc-status", "5"), ("grpc-message", "%C3%28 \x80")], end=True),
    "undecodable details": head([("grpc-status", "5"), details(b"\xff")], end=True),
    "undecodable details and ok": head([*OK, details(b"\xff")], end=True),
    "invalid details": head([("grpc-status", "5"), ("grpc-status-details-bin", "!")], end=True),
    "pseudo trailers": head([(":status", "200"), *OK], end=True),
    **{f"reset {code}": frame(RstStreamFrame, error_code=code) for code in (0, 1, 7, 8, 11, 0xBEEF)},
    "goaway below": goaway(0),
    "goaway at once": goaway(1),
    "goaway later": goaway(2**31 - 1),
    "goaway for flooding": goaway(0, 11),
    "window": frame(WindowUpdateFrame, window_increment=1_000),
    "too large a window": frame(WindowUpdateFrame, window_increment=2**31 - 1),
    "too large a connection's window": on_connection(WindowUpdateFrame, window_increment=2**31 - 1),
    "no window": on_connection(SettingsFrame, settings={SettingsFrame.INITIAL_WINDOW_SIZE: 0}),
    "no streams": on_connection(SettingsFrame, settings={SettingsFrame.MAX_CONCURRENT_STREAMS: 0}),
    "wrong settings": on_connection(SettingsFrame, settings={SettingsFrame.MAX_FRAME_SIZE: 1}),
    "ping": on_connection(PingFrame, opaque_data=b"hello"),
    "priority": frame(PriorityFrame, depends_on=0),
    "push": frame(PushPromiseFrame, promised_stream_id=2, data=b"\x88", flags=["END_HEADERS"]),
    "continuation": frame(ContinuationFrame, data=b"\x88", flags=["END_HEADERS"]),
    "head without an end": frame(HeadersFrame, data=b"\x88"),
    "broken header block": frame(HeadersFrame, data=b"\xff\xff\xff\xff", flags=["END_HEADERS"]),
    "data of nobody": on_connection(DataFrame, 2, data=b"x"),
    "head of nobody": on_connection(HeadersFrame, 99, data=b"\x88", flags=["END_HEADERS"]),
    "HTTP/1.1": raw(b"HTTP/1.1 400 Bad Request\r\n\r\n"),
    "TLS": raw(b"\x15\x03\x01\x00\x02\x02\x16"),
    "unknown frame": raw(b"\x00\x00\x01\xee\x00\x00\x00\x00\x01x"),
    "close": close,
}
