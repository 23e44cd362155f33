"""A fault on one connection ends only that one: inputs that would otherwise end Hypercorn's whole process."""

import pytest
import trio

from tests.support.faults import FRAME, HELLO, INPUTS, UPGRADE, Input, inflict, read_until
from tests.support.gateway import running_gateway
from tests.support.websocket import open_websocket

pytestmark = pytest.mark.usefixtures("nothing_left")


@pytest.mark.parametrize("fault", INPUTS)
async def test_a_fault_of_one_connection_does_not_reach_another(fault: Input) -> None:
    async with running_gateway() as gateway:
        async with open_websocket(gateway.port, "/ws/stream/bidirectional") as bystander:
            for number in range(1, 4):
                with trio.fail_after(20):
                    await inflict(gateway.port, fault)
                await bystander.send(HELLO.decode())
                assert f'"sequence_number":{number}' in str(await bystander.receive())
        assert (await gateway.get("/healthz")).status == 200


async def test_a_frame_that_comes_with_the_upgrade_is_not_lost() -> None:
    async with running_gateway() as gateway, await trio.open_tcp_stream("127.0.0.1", gateway.port) as stream:
        await stream.send_all(UPGRADE + FRAME)
        with trio.fail_after(20):
            assert b'"response":"from server: hi"' in await read_until(stream, b'"success":true')
