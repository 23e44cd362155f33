"""One GET to a gateway's ``/readyz`` or ``/healthz``, which answer 200, or 503 with the reason."""

from dataclasses import dataclass
from time import monotonic

from echo.health.line import CallFailedError, Line, TlsFiles, dial, in_words
from echo.printable import printable_octets
from echo.targets import Target

__all__ = ["Answer", "get"]

_MAX_ANSWER = 16_384  # Bytes read of an answer; the gateway's has a few hundred.


@dataclass(frozen=True, slots=True)
class Answer:
    """The status of an answer, and the first line of its body."""

    status: int
    text: str


def get(address: Target, path: str, connect_timeout: float, timeout: float, tls: TlsFiles | None = None) -> Answer:
    """Send one GET, in HTTP/1.0, where the answer ends with the connection.

    Raises:
        UnreachableError: Could not connect.
        CallFailedError: The answer is not HTTP, or did not come in time.
        UnusableFileError: A TLS file can't be used.
    """
    with dial(address, connect_timeout, tls, "http/1.1") as line:
        line.deadline = monotonic() + timeout
        try:
            line.send(
                f"GET {path} HTTP/1.0\r\nhost: {address.authority}\r\nuser-agent: echo-grpc health\r\n\r\n".encode()
            )
            answer = _read(line)
        except TimeoutError:
            raise CallFailedError(f"no answer within {timeout:g} s") from None
        except OSError as error:
            raise CallFailedError(in_words(error)) from None
    head, _, body = answer.partition(b"\r\n\r\n")
    protocol, _, rest = head.partition(b" ")
    if not protocol.startswith(b"HTTP/1.") or not rest[:3].isdigit():
        raise CallFailedError("the answer is not HTTP/1.1")
    return Answer(int(rest[:3]), printable_octets(body.partition(b"\n")[0].strip()))


def _read(line: Line) -> bytes:
    """The answer up to the peer's close, or its beginning if it is longer than `_MAX_ANSWER`."""
    answer = b""
    while len(answer) < _MAX_ANSWER and (piece := line.receive()):
        answer += piece
    return answer
