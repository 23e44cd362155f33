"""A bidirectional stream to an echo server, message by message."""

from echo.pb.com.gopay.echo.streaming import StreamMessage, StreamResponse
from echo.rpc import Cardinality, Channel, ClientStream

Chat = ClientStream[StreamMessage, StreamResponse]


def chat(channel: Channel) -> Chat:
    """The call; use it with ``async with``."""
    path = "/com.gopay.echo.streaming.StreamingServer/BidirectionalStream"
    return channel.request(path, Cardinality.STREAM_STREAM, StreamMessage, StreamResponse)


async def say(stream: Chat, message: str) -> str:
    """Send one message; returns the text of the reply."""
    await stream.send_message(StreamMessage(stream_id="a", message=message))
    reply = await stream.recv_message()
    assert reply is not None
    return reply.response
