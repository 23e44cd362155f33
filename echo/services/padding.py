"""Padding a response to a size."""

from echo.pb.com.gopay.echo import Response
from echo.pb.com.gopay.echo.streaming import StreamResponse

FILLER = "x"


def pad(message: Response | StreamResponse, size: int) -> None:
    """Pad the response's text until the message takes ``size`` bytes, or one less where no length gives that.

    A message that is longer is left as it is.
    """
    missing = size - len(bytes(message))
    if missing > 0:
        message.response += FILLER * missing
        excess = len(bytes(message)) - size  # The length before the text has become longer, too.
        if excess > 0:
            message.response = message.response[:-excess]
