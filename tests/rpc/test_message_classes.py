"""Calls of one method whose messages are of different classes, and codecs with methods of their own."""

from typing import Self

from grpclib.encoding.base import CodecBase

from echo.pb.com.gopay.echo import Message, Response
from echo.rpc import Server
from echo.rpc.testing import memory_channel, memory_channel_to
from echo.services import EchoService
from tests.support.services import ECHO, UNARY, on_both_loops, unary

GET_REPLY = "/com.gopay.echo.Server/GetReply"


class Encoded(bytes):
    """A message that is its own encoding, as a proxy may have it."""

    def SerializeToString(self) -> bytes:  # noqa: N802 - protobuf's name
        return bytes(self)

    @classmethod
    def FromString(cls, data: bytes) -> Self:  # noqa: N802 - protobuf's name
        return cls(data)


class Reversed(CodecBase):
    """A codec whose methods name their arguments in their own way."""

    __content_subtype__ = "reversed"

    def encode(self, what: bytes, kind: type) -> bytes:
        assert kind is bytes
        return what[::-1]

    def decode(self, octets: bytes, kind: type) -> bytes:
        return self.encode(octets, kind)


@on_both_loops
async def test_each_call_has_its_own_classes() -> None:
    request, reply = Message("hi"), Response(success=True, response="from server:hi")

    async with memory_channel([EchoService()]) as channel:
        for _ in range(3):
            async with (
                channel.request(GET_REPLY, UNARY, Message, Response) as plain,
                channel.request(GET_REPLY, UNARY, Encoded, Encoded) as raw,
            ):
                await raw.send_message(Encoded(bytes(request)))
                await plain.send_message(request)
                assert await plain.recv_message() == reply
                assert await raw.recv_message() == Encoded(bytes(reply))


@on_both_loops
async def test_a_codec_is_given_the_message_and_its_class_by_position() -> None:
    server = Server([ECHO], codec=Reversed())
    async with memory_channel_to(server, codec=Reversed()) as channel:
        assert await unary(channel, "One", b"abc") == b"abc"
