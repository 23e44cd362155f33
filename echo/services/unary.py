"""The unary echo."""

from echo.pb.com.gopay.echo import Message, Response, ServerBase


class EchoService(ServerBase):
    """``com.gopay.echo.Server``."""

    async def get_reply(self, message: Message) -> Response:
        """Answer with the message."""
        return Response(success=True, response=f"from server:{message.message}")
