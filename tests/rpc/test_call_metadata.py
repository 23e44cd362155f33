"""Metadata of calls: both ways, and no call's in another one."""

from grpclib.events import RecvInitialMetadata, RecvTrailingMetadata, listen
from multidict import MultiDict

from echo.rpc.testing import memory_channel
from echo.wire.head import USER_AGENT
from tests.support.services import CODEC, ECHO, UNARY, BytesStream, Service, call, on_both_loops, unary


@on_both_loops
async def test_metadata_goes_both_ways() -> None:
    async def talk(stream: BytesStream) -> None:
        assert stream.metadata is not None
        await stream.recv_message()
        await stream.send_initial_metadata(metadata={"initial": str(stream.metadata["ask"])})
        await stream.send_message(b"")
        await stream.send_trailing_metadata(metadata={"final-bin": stream.metadata["ask-bin"]})

    async with memory_channel([Service(Talk=(UNARY, talk))], codec=CODEC) as channel:
        async with call(channel, "Talk", UNARY, metadata={"ask": "what", "ask-bin": b"\0\xff"}) as stream:
            await stream.send_message(b"")
            await stream.recv_initial_metadata()
            assert stream.initial_metadata == MultiDict({"initial": "what"})
            await stream.recv_message()
        assert stream.trailing_metadata == MultiDict({"final-bin": b"\0\xff"})


@on_both_loops
async def test_what_is_added_to_the_metadata_of_one_answer_is_in_no_other() -> None:
    async def change_head(event: RecvInitialMetadata) -> None:
        event.metadata["heard"] = "once"

    async def change_trailers(event: RecvTrailingMetadata) -> None:
        event.metadata["heard"] = "once"

    for listening in (False, True):
        async with memory_channel([ECHO], codec=CODEC) as channel:
            if listening:
                listen(channel, RecvInitialMetadata, change_head)
                listen(channel, RecvTrailingMetadata, change_trailers)
            for _ in range(4):  # HPACK's tables change at first.
                async with call(channel, "One", UNARY) as stream:
                    await stream.send_message(b"x")
                    await stream.recv_message()
                for metadata in (stream.initial_metadata, stream.trailing_metadata):
                    assert metadata == MultiDict({"heard": "once"} if listening else {})
                    metadata["a"] = "b"
                assert stream.initial_metadata == stream.trailing_metadata
                assert dict(stream.initial_metadata or {}).get("a") == "b"


@on_both_loops
async def test_calls_with_the_same_metadata_do_not_share_it() -> None:
    seen: list[MultiDict[str | bytes]] = []

    async def scribble(stream: BytesStream) -> None:
        seen.append(stream.metadata.copy())
        stream.metadata["scribbled"] = "yes"
        await stream.recv_message()
        await stream.send_message(b"")

    async with memory_channel([Service(Talk=(UNARY, scribble))], codec=CODEC) as channel:
        for _ in range(4):  # From the third on, HPACK encodes it to the same bytes.
            await unary(channel, "Talk", metadata={"ask": "what"})
        for _ in range(4):
            await unary(channel, "Talk")
    assert seen == 4 * [MultiDict({"ask": "what"})] + 4 * [MultiDict()]


@on_both_loops
async def test_a_handler_sees_the_client_s_user_agent() -> None:
    async def tell(stream: BytesStream) -> None:
        assert stream.user_agent is not None
        await stream.send_message(stream.user_agent.encode())

    async with memory_channel([Service(Tell=(UNARY, tell))], codec=CODEC) as channel:
        assert (await unary(channel, "Tell")).decode() == USER_AGENT
