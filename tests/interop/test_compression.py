"""Messages that we compress, as stock grpcio reads them, both ways; a relay between the two counts the bytes."""

from typing import Final

import grpc
import pytest

from echo.pb.com.gopay.echo import Message as OurMessage
from echo.pb.com.gopay.echo import Response as OurResponse
from echo.pb.com.gopay.echo.streaming import StreamMessage as OurStreamMessage
from echo.pb.com.gopay.echo.streaming import StreamResponse as OurStreamResponse
from echo.rpc import Cardinality, Server, open_channel
from echo.services import EchoService, StreamingEchoService
from tests.support.grpcio import PATIENCE, Dynamic, Message, StreamMessage, grpcio_client, grpcio_server, in_thread
from tests.support.relay import relaying
from tests.support.serving import LOOPBACK, serving

LARGE: Final = "so much of the same " * 50_000  # A megabyte.
FEW: Final = 50_000  # Bytes for which a few such messages are much too long, unless they are compressed.
SIZES: Final = (1, 10_000, 100, 1_000_000)


@pytest.mark.parametrize("compression", [None, "gzip"])
async def test_a_stock_client_reads_our_server_s_compressed_replies(compression: str | None) -> None:
    server = Server([EchoService(), StreamingEchoService()], compression=compression)
    async with serving(server) as port, relaying(port) as relay, grpcio_client(relay.port) as client:
        reply = await in_thread(client.get_reply, Message(message=LARGE), timeout=PATIENCE)
        assert reply.response == f"from server:{LARGE}"
        messages = [StreamMessage(message="x" * size, stream_id="a") for size in SIZES]
        answers: list[Dynamic] = await in_thread(
            lambda: list(client.bidirectional_stream(iter(messages), timeout=PATIENCE))
        )
        assert [answer.response for answer in answers] == [f"from server: {message.message}" for message in messages]
        assert (relay.to_client < FEW) is (compression == "gzip")
        assert relay.to_server > len(LARGE)


@pytest.mark.parametrize("compression", [grpc.Compression.NoCompression, grpc.Compression.Deflate])
async def test_a_stock_client_that_compresses_otherwise_is_answered_all_the_same(
    compression: grpc.Compression,
) -> None:
    """It reads gzip, whatever it writes; what it writes by deflate, we do not read."""
    server = Server([EchoService()], compression="gzip")
    async with serving(server) as port, grpcio_client(port, compression=compression) as client:
        call = client.get_reply.future(Message(message=LARGE), timeout=PATIENCE)
        if compression is grpc.Compression.Deflate:
            error = await in_thread(call.exception)
            assert error.code() is grpc.StatusCode.UNIMPLEMENTED
            assert error.details() == "grpc-encoding 'deflate' is not supported"
        else:
            assert (await in_thread(call.result)).response == f"from server:{LARGE}"


@pytest.mark.parametrize("compression", [None, "gzip"])
async def test_a_stock_server_reads_our_client_s_compressed_messages(compression: str | None) -> None:
    async with (
        grpcio_server() as server,
        relaying(server.port) as relay,
        open_channel(LOOPBACK, relay.port, compression=compression) as channel,
    ):
        async with channel.request(
            "/com.gopay.echo.Server/GetReply", Cardinality.UNARY_UNARY, OurMessage, OurResponse
        ) as unary:
            await unary.send_message(OurMessage(LARGE))
            reply = await unary.recv_message()
            assert reply is not None
            assert reply.response == f"from server:{LARGE}"
        async with channel.request(
            "/com.gopay.echo.streaming.StreamingServer/BidirectionalStream",
            Cardinality.STREAM_STREAM,
            OurStreamMessage,
            OurStreamResponse,
        ) as stream:
            for size in SIZES:
                await stream.send_message(OurStreamMessage("a", message="x" * size))
                answer = await stream.recv_message()
                assert answer is not None
                assert answer.response == f"from server: {'x' * size}"
            await stream.end()
            assert await stream.recv_message() is None
        assert (relay.to_server < FEW) is (compression == "gzip")
        assert relay.to_client > len(LARGE)


async def test_both_may_compress() -> None:
    async with (
        grpcio_server(compression=grpc.Compression.Gzip) as server,
        relaying(server.port) as relay,
        open_channel(LOOPBACK, relay.port, compression="gzip") as channel,
        channel.request("/com.gopay.echo.Server/GetReply", Cardinality.UNARY_UNARY, OurMessage, OurResponse) as stream,
    ):
        await stream.send_message(OurMessage(LARGE))
        reply = await stream.recv_message()
        assert reply is not None
        assert reply.response == f"from server:{LARGE}"
        assert relay.to_server + relay.to_client < FEW
