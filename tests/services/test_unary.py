"""The unary echo, as the contract has it."""

from hypothesis import given
from hypothesis import strategies as st

from echo.pb.com.gopay.echo import Message, Response, ServerStub
from echo.rpc.stubs import bind
from echo.rpc.testing import memory_channel
from echo.services import EchoService


async def get_reply(text: str) -> Response:
    async with memory_channel([EchoService()]) as channel, bind(ServerStub, channel) as stub:
        return await stub.get_reply(Message(text))


async def test_the_reply_has_no_space_after_the_colon() -> None:
    assert await get_reply("hello") == Response(success=True, response="from server:hello")


async def test_no_message_has_a_reply_too() -> None:
    assert await get_reply("") == Response(success=True, response="from server:")


@given(text=st.text())
async def test_any_text_comes_back_as_it_is(text: str) -> None:
    assert (await get_reply(text)).response == "from server:" + text
