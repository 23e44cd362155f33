"""One HTTP/1.1 request on a connection of its own, which may become a WebSocket."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import h11

from echo.alerts import alert_in_words
from echo.probe.line import LOST, READ_SIZE, Bytes, UnreachableError

MAX_BODY: Final = 1024 * 1024

Headers = Sequence[tuple[str, str]]


@dataclass(frozen=True)
class HttpAnswer:
    """A response.

    Attributes:
        status: The status; 101 if the connection has switched protocols.
        headers: Names in lower case, order and repeats kept.
        body: Its first MiB.
        rest: Bytes that followed the head of a 101.
    """

    status: int
    headers: Headers
    body: bytes = b""
    rest: bytes = b""

    def header(self, name: str) -> str:
        """A header's value; empty if it is missing."""
        return next((value for found, value in self.headers if found == name), "")


async def exchange(stream: Bytes, host: str, target: str, headers: Headers = (), method: str = "GET") -> HttpAnswer:
    """Send a request without a body, and read the answer. The stream stays open.

    Raises:
        UnreachableError: The connection ended before the answer was complete, or what came is not HTTP/1.1.
    """
    client = h11.Connection(h11.CLIENT, max_incomplete_event_size=64 * 1024)
    request = h11.Request(method=method, target=target, headers=[("Host", host), *headers])
    try:
        await stream.send_all((client.send(request) or b"") + (client.send(h11.EndOfMessage()) or b""))
        head: h11.Response | h11.InformationalResponse | None = None
        body = bytearray()
        while True:
            event = client.next_event()
            if event is h11.NEED_DATA:
                data = bytes(await stream.receive_some(READ_SIZE))
                if not data and head is None:
                    raise UnreachableError("the connection was closed without an answer")
                client.receive_data(data)
            elif isinstance(event, h11.InformationalResponse):
                if event.status_code == 101:
                    return HttpAnswer(101, _texts(event), rest=client.trailing_data[0])
            elif isinstance(event, h11.Response):
                head = event
            elif isinstance(event, h11.Data):
                body += event.data[: MAX_BODY - len(body)]
            elif isinstance(event, (h11.EndOfMessage, h11.ConnectionClosed)) or event is h11.PAUSED:
                assert head is not None  # Or there would be no end.
                return HttpAnswer(head.status_code, _texts(head), bytes(body))
    except h11.RemoteProtocolError as error:
        raise UnreachableError(f"the answer is not valid HTTP/1.1: {error}") from error
    except LOST as error:
        words = alert_in_words(error.__cause__)
        why = f"the connection was refused by TLS: {words}" if words else "the connection was reset without an answer"
        raise UnreachableError(why) from error


def _texts(head: h11.Response | h11.InformationalResponse) -> Headers:
    return [(name.decode("latin-1"), value.decode("latin-1")) for name, value in head.headers]
