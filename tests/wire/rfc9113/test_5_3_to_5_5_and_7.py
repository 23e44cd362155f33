"""RFC 9113 §5.3 to §5.5 and §7: priorities, errors, extensions, unknown error codes."""

from tests.support.http2_frames import dependency, frame, goaway, ping, priority, rst_stream, settings
from tests.support.reactions import (
    BY_PROTOCOL,
    HALF_CLOSED,
    LIVE,
    MALFORMED,
    OPEN,
    RESPONSE,
    Row,
    both_roles,
    each,
    headers,
    judge,
    opened,
    row,
    told,
)
from tests.support.rfc9113 import Endpoint, Role

SERVER = [
    # §5.3 (RFC 7540 §5.3.1): h2spec looks for these, though RFC 9113 has done away with what they are for.
    row("HEADERS that depend on their own stream", MALFORMED, headers(1, depends=dependency(1))),
    row("PRIORITY that depends on its own stream", MALFORMED, priority(1, 1), before=(OPEN,)),
    row("so on a half-closed stream", MALFORMED, priority(1, 1), before=(HALF_CLOSED,)),
    row("so on an idle stream", f"{MALFORMED} | {BY_PROTOCOL} | nothing", priority(3, 3), stream=3, alive="ping"),
    row("so on a stream of ours", BY_PROTOCOL, headers(2, depends=dependency(2)), stream=2),
    row("HEADERS that depend on another stream", "call", headers(1, depends=dependency(3))),
    row("HEADERS that depend on stream 0, exclusively", "call", headers(1, depends=dependency(0, exclusive=True))),
    row("HEADERS of the least weight", "call", headers(1, depends=dependency(0, weight=1))),
    row("HEADERS of the greatest weight", "call", headers(1, depends=dependency(0, weight=256))),
    row("PRIORITY of the least weight", "nothing", priority(1, weight=1), before=(OPEN,)),
    row("PRIORITY of the greatest weight", "nothing", priority(1, weight=256), before=(OPEN,)),
    row("exclusive PRIORITY", "nothing", priority(1, 3, exclusive=True), before=(OPEN,)),
    row("PRIORITY that depends on an idle stream", "nothing", priority(1, 99), before=(OPEN,)),
    row("PRIORITY_UPDATE (RFC 9218) is an extension", "nothing", frame(0x10, 0, 0, b"\0\0\0\1u=1"), stream=0),
]
EITHER = [
    # §5.5
    row("extension frames are ignored", "nothing", frame(0x0C, 0, 0, b"\0\0"), stream=0),
    row("extension settings are ignored", "SETTINGS ACK", settings((0xF0, 1), (0x0A0A, 2**32 - 1)), stream=0),
    # §7
    row("RST_STREAM with a code nobody knows", told("0xff"), rst_stream(1, 0xFF), before=(LIVE,)),
    row("GOAWAY with a code nobody knows", "nothing", goaway(0, 0xFF), stream=0, alive="ping"),
    row("GOAWAY with the greatest code", "nothing", goaway(0, 2**32 - 1), stream=0, alive="ping"),
]
CLIENT = [
    row("PRIORITY of a server", "nothing", priority(1, 3), before=(opened(),)),
    row("a head with a priority", "head", headers(1, RESPONSE, depends=dependency(3)), before=(opened(),)),
    row(
        "a head that depends on itself",
        f"{MALFORMED} | head",
        headers(1, RESPONSE, depends=dependency(1)),
        before=(opened(),),
    ),
    row("so on an idle stream", BY_PROTOCOL, headers(3, RESPONSE, depends=dependency(3)), before=(opened(),)),
]


@both_roles
@each(EITHER)
def test_extensions_and_error_codes(role: Role, row: Row) -> None:
    judge(role, row)


@each(SERVER)
def test_priorities_to_a_server(row: Row) -> None:
    judge("server", row)


@each(CLIENT)
def test_priorities_to_a_client(row: Row) -> None:
    judge("client", row)


@both_roles
def test_after_a_connection_error_further_frames_are_ignored(role: Role) -> None:
    endpoint = Endpoint(role)
    endpoint.feed(LIVE)
    endpoint.look()
    endpoint.feed(frame(6, 0, 0, b"short"), ping(), rst_stream(1), settings())
    assert endpoint.reaction(0) == "connection FRAME_SIZE_ERROR"
    assert [came.name for came in endpoint.frames] == ["GOAWAY"]
    assert len(endpoint.events) == 1


def test_a_goaway_for_an_error_names_the_last_stream_processed() -> None:
    endpoint = Endpoint("server")
    endpoint.feed(headers(1), headers(5))
    endpoint.look()
    endpoint.feed(frame(6, 0, 0, b"short"))
    assert int.from_bytes(endpoint.frames[-1].payload[:4], "big") == 5
