"""What the spans of a method's calls have in common: their name, their kind, and most of their attributes.

Names and attributes are those of OpenTelemetry's semantic conventions for RPC. ``rpc.system`` and
``rpc.grpc.status_code``, which the conventions deprecate, are there as well, since many backends look for them.
Attributes without a convention begin with ``echo.``.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from echo.rpc import Status
from echo.targets import split
from echo.telemetry.tracing.protobuf import CLIENT, SERVER, attribute, name_and_kind
from echo.telemetry.tracing.spans import Where

__all__ = ["MAX_TEXT", "UNTRACED", "Method", "method"]

UNTRACED: Final = ("/grpc.health.", "/grpc.reflection.")  # There would be many, and nobody would look at them.
MAX_TEXT: Final = 256  # Characters of what a peer has said.

_FAILURES: Final = {
    SERVER: frozenset(
        {Status.UNKNOWN, Status.DEADLINE_EXCEEDED, Status.UNIMPLEMENTED, Status.INTERNAL, Status.UNAVAILABLE}
        | {Status.DATA_LOSS}
    ),
    CLIENT: frozenset(Status) - {Status.OK},
}
"""What the conventions call a failure. Other errors of a server are answers."""


@dataclass(frozen=True, slots=True, eq=False)
class Method:
    """A method.

    Attributes:
        name: The name of its spans.
        ends: For each status with which a call may end, the bytes that its spans share, and whether it is a failure.
        streaming: Either side may send several messages.
        known: The server has this method.
        made: Its calls are made here, not served.
    """

    name: str
    ends: dict[Status, tuple[bytes, bool]]
    streaming: bool
    known: bool
    made: bool

    def told(self, received: int, sent: int, where: Where, status: Status = Status.OK) -> bytes:
        """The name, kind and attributes of the span of a call.

        Args:
            received: How many messages were received.
            sent: How many messages were sent.
            where: The client's address, or the server's as the channel was given it.
            status: How the call ended.
        """
        end = self.ends[status][0] + _counts(received, sent)
        if isinstance(where, tuple):
            return end + attribute("client.address", where[0]) + attribute("client.port", where[1])
        return end + _server(where) if self.made and where else end


def method(path: str, kind: int, *, streaming: bool, known: bool = True) -> Method:
    """The method with this path, as a server (`SERVER`) or a client has it."""
    full = path.removeprefix("/") if known else "_OTHER"
    name = full if known else "grpc"  # There must be few names, whatever clients call.
    common = (("rpc.system.name", "grpc"), ("rpc.system", "grpc"), ("rpc.method", full))
    pieces = name_and_kind(name, kind) + b"".join(attribute(key, value) for key, value in common)
    failures = _FAILURES[kind]
    ends = {status: (pieces + _end(status, failures), status in failures) for status in Status}
    return Method(name, ends, streaming, known, kind == CLIENT)


def _end(status: Status, failures: frozenset[Status]) -> bytes:
    end = attribute("rpc.response.status_code", status.name) + attribute("rpc.grpc.status_code", status.value)
    return end + attribute("error.type", status.name) if status in failures else end


@lru_cache(4096)
def _counts(received: int, sent: int) -> bytes:
    """How many messages there were."""
    return attribute("echo.messages.received", received) + attribute("echo.messages.sent", sent)


@lru_cache(64)
def _server(target: str) -> bytes:
    try:
        host, port = split(target)
    except ValueError:  # Several addresses, or a Unix socket.
        host, port = target, None
    return attribute("server.address", host) + (b"" if port is None else attribute("server.port", port))
