"""Fuzzes the raw socket: whatever a client sends, the gateway survives, others are not affected, and nothing leaks."""

from contextlib import suppress

import trio
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.faults import UPGRADE
from tests.support.frames import frame, send
from tests.support.gateway import running_gateway
from tests.support.leaks import no_leaks
from tests.support.websocket import open_websocket

MESSAGE = b'{"stream_id":"a","message":"hi"}'

pieces = st.one_of(
    st.binary(max_size=40),
    st.sampled_from([UPGRADE, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"]),
    st.builds(
        frame,
        st.integers(0, 15),
        st.binary(max_size=130) | st.just(MESSAGE) | st.just(b""),
        fin=st.booleans(),
        rsv=st.sampled_from([0, 0, 0, 1, 4]),
        masked=st.sampled_from([True, True, True, False]),
    ),
)


@settings(max_examples=80, deadline=None)
@given(st.booleans(), st.lists(pieces, max_size=8), st.integers(1, 80))
def test_whatever_comes_the_gateway_lives_and_lets_go(upgraded: bool, sent: list[bytes], size: int) -> None:
    data = (UPGRADE if upgraded else b"") + b"".join(sent)

    async def main() -> None:
        async with (
            no_leaks(),
            running_gateway(GRPC_MAX_MESSAGE_SIZE="1KiB") as gateway,
            open_websocket(gateway.port, "/ws/stream/bidirectional") as bystander,
        ):
            async with await trio.open_tcp_stream("127.0.0.1", gateway.port) as stream:
                for start in range(0, len(data), size):
                    await send(stream, data[start : start + size])
                with suppress(trio.BrokenResourceError):
                    await stream.send_eof()
                with trio.fail_after(50), suppress(trio.BrokenResourceError):
                    async for _ in stream:
                        pass
            await bystander.send(MESSAGE.decode())
            assert '"response":"from server: hi"' in str(await bystander.receive())

    trio.run(main)
