"""The raw unary load: every call is what a client in a mesh would send, and none that failed counts."""

import re
import socket
from collections.abc import Callable
from operator import add

import pytest
from hpack import Decoder

from tests.bench.raw_calls import LITERALS, RawCalls, mesh_values
from tests.bench.raw_http2 import (
    DATA,
    END_HEADERS,
    END_STREAM,
    HEADER_TABLE_SIZE,
    HEADERS,
    SETTINGS,
    frame,
    grpc_message,
)
from tests.bench.raw_socket import RunFailed
from tests.bench.test_raw_http2 import Reader
from tests.support.tcp import tcp_server

OK, BROKEN = b"\x00\x0bgrpc-status\x010", b"\x00\x0bgrpc-status\x0213"
ANSWER = grpc_message(b"hi")


def answer(stream_id: int, *, message: bytes = ANSWER, status: bytes = OK) -> bytes:
    trailers = frame(HEADERS, END_HEADERS | END_STREAM, stream_id, status)
    return frame(HEADERS, END_HEADERS, stream_id, b"\x88") + frame(DATA, 0, stream_id, message) + trailers


class Server:
    """Answers calls as they come, and keeps the header list and the message of each."""

    def __init__(self, reply: Callable[[int], bytes] = answer) -> None:
        self.decoder = Decoder()
        self.heads: list[dict[str, str]] = []
        self.sizes: list[int] = []
        self.messages: list[tuple[int, bytes]] = []
        self._reply = reply

    def __call__(self, accepted: socket.socket) -> None:
        reader = Reader(accepted)
        stream_id = 1
        while True:
            try:
                _, block = reader.until(HEADERS)
            except IndexError:  # The client has closed.
                return
            self.heads.append({str(name): str(value) for name, value in self.decoder.decode(block)})
            self.sizes.append(len(block))
            self.messages.append(reader.until(DATA))
            accepted.sendall(self._reply(stream_id))
            stream_id += 2


def test_calls_are_complete_and_cost_a_few_bytes_once_the_table_is_filled() -> None:
    server = Server()
    with tcp_server(server) as port, RawCalls(port, "/a.B/C", b"hello") as calls:
        assert len(calls.calls(50, concurrent=8).latencies) == 50
        calls.finish()
    assert len(server.heads) == 51
    assert all(head == server.heads[0] for head in server.heads)
    assert (server.heads[0][":path"], server.heads[0]["te"]) == ("/a.B/C", "trailers")
    assert set(server.sizes[1:]) == {7}
    assert set(server.messages) == {(END_STREAM, grpc_message(b"hello"))}


@pytest.mark.parametrize("table", [False, True])
def test_calls_in_a_mesh_have_a_deadline_an_id_and_a_trace_of_their_own(table: bool) -> None:
    server = Server()
    with tcp_server(server) as port, RawCalls(port, "/a.B/C", b"hello", table=table) as calls:
        calls.calls(30, concurrent=8, mesh=True)
        calls.calls(10, mesh=True)
        calls.calls(1)
        calls.finish()
    plain, *heads, last = server.heads
    assert plain == last
    assert (b"x-request-id" in dict(server.decoder.header_table.dynamic_entries)) is table
    forms = {
        "grpc-timeout": r"4\d{3}m",
        "x-request-id": r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-a[0-9a-f]{3}-[0-9a-f]{12}",
        "traceparent": r"00-[0-9a-f]{32}-[0-9a-f]{16}-01",
    }
    for name, form in forms.items():
        assert all(re.fullmatch(form, head[name]) for head in heads), name
    assert len({head["x-request-id"] for head in heads}) == len({head["traceparent"] for head in heads}) == 40
    assert len({head["grpc-timeout"] for head in heads}) > 1


def test_new_values_leave_hpacks_table_as_it_is() -> None:
    decoder = Decoder()
    blocks = [b"".join(map(add, LITERALS, values)) for values in mesh_values(5)]
    assert all(len(list(decoder.decode(block))) == 3 for block in blocks)
    assert not decoder.header_table.dynamic_entries


def test_a_call_that_ended_with_another_status_is_an_error() -> None:
    server = Server(lambda stream_id: answer(stream_id, status=BROKEN if stream_id == 5 else OK))
    with tcp_server(server) as port, RawCalls(port, "/a.B/C", b"") as calls:
        calls.calls(3)
        with pytest.raises(RunFailed, match=r"4 of 4 calls .* wrong: \{5: '13'\}"):
            calls.finish()


def test_a_call_without_an_answer_is_an_error() -> None:
    server = Server(lambda stream_id: answer(stream_id, message=b"" if stream_id == 5 else ANSWER))
    with (
        tcp_server(server) as port,
        RawCalls(port, "/a.B/C", b"") as calls,
        pytest.raises(RunFailed, match="2 messages came for 3 calls"),
    ):
        calls.calls(3)


def test_a_server_with_a_smaller_table_is_an_error() -> None:
    small = frame(SETTINGS, 0, 0, HEADER_TABLE_SIZE.to_bytes(2, "big") + bytes(4))
    server = Server(lambda stream_id: small + answer(stream_id))
    with (
        tcp_server(server) as port,
        pytest.raises(RunFailed, match="HPACK table of only 0 bytes"),
        RawCalls(port, "/a.B/C", b""),
    ):
        pass
