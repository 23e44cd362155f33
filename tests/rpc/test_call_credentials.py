"""Call credentials, for instance a token: when they are requested, and when they are not sent."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import pytest
import trio
from anyio.abc import SocketAttribute

from echo.rpc import CallCredentials, Channel, GRPCError, Server, Status, open_channel, open_tcp_listener
from echo.rpc.testing import memory_channel_to
from tests.support.services import CODEC, UNARY, BytesStream, Service, call, on_both_loops, unary
from tests.support.tls import Certificates


class Guarded:
    """A server that records the credentials of its callers, and fails the first calls if a test asks for it."""

    def __init__(self, failures: int = 0, status: Status = Status.UNAVAILABLE) -> None:
        self.failures = failures
        self.status = status
        self.seen: list[list[str | bytes]] = []
        self.server = Server([Service(One=(UNARY, self._one))], codec=CODEC)

    async def _one(self, stream: BytesStream) -> None:
        self.seen.append(stream.metadata.getall("authorization", []))
        if self.failures:
            self.failures -= 1
            raise GRPCError(self.status, "not now")
        message = await stream.recv_message()
        assert message is not None
        await stream.send_message(message)

    @asynccontextmanager
    async def channel(
        self, credentials: CallCredentials | None, config: dict[str, object] | None = None
    ) -> AsyncIterator[Channel]:
        async with memory_channel_to(
            self.server, codec=CODEC, call_credentials=credentials, plaintext_credentials=True, service_config=config
        ) as channel:
            yield channel


class Tokens:
    """Gives another token each time."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str]] = []

    async def __call__(self, service_url: str, method: str) -> dict[str, str]:
        await anyio.lowlevel.checkpoint()
        self.asked.append((service_url, method))
        return {"authorization": f"Bearer {len(self.asked)}"}


@on_both_loops
async def test_each_call_carries_the_metadata_given_for_it() -> None:
    guarded, tokens = Guarded(), Tokens()
    async with guarded.channel(tokens) as channel:
        for _ in range(2):
            await unary(channel, "One")
    assert guarded.seen == [["Bearer 1"], ["Bearer 2"]]
    assert tokens.asked == [("http://memory/test.Service", "One")] * 2


async def test_a_call_s_credentials_follow_the_channel_s() -> None:
    async def more(service_url: str, method: str) -> list[tuple[str, str]]:
        return [("authorization", "more")]

    guarded = Guarded()
    async with guarded.channel(Tokens()) as channel:
        async with channel.request("/test.Service/One", UNARY, bytes, bytes, credentials=more) as stream:
            await stream.send_message(b"")
            await stream.recv_message()
        await unary(channel, "One", metadata={"authorization": "mine"})
    assert guarded.seen == [["Bearer 1", "more"], ["mine", "Bearer 2"]]


@pytest.mark.parametrize("status", [Status.UNAVAILABLE, Status.UNAUTHENTICATED])
async def test_each_attempt_has_its_own_metadata(autojump_clock: trio.abc.Clock, status: Status) -> None:
    policy = {
        "maxAttempts": 3,
        "initialBackoff": "1s",
        "maxBackoff": "1s",
        "backoffMultiplier": 1,
        "retryableStatusCodes": [status.name],
    }
    guarded = Guarded(2, status)
    async with guarded.channel(Tokens(), {"methodConfig": [{"name": [{}], "retryPolicy": policy}]}) as channel:
        await unary(channel, "One")
    assert guarded.seen == [["Bearer 1"], ["Bearer 2"], ["Bearer 3"]]


@pytest.mark.parametrize(
    ("failure", "status", "message"),
    [
        (GRPCError(Status.UNAVAILABLE, "no token"), Status.UNAVAILABLE, "no token"),
        (GRPCError(Status.PERMISSION_DENIED, "no token"), Status.PERMISSION_DENIED, "no token"),
        (GRPCError(Status.NOT_FOUND, "no user"), Status.INTERNAL, "NOT_FOUND: no user"),
        (OSError("nobody there"), Status.UNAUTHENTICATED, "call credentials failed: OSError: nobody there"),
    ],
)
async def test_a_call_whose_credentials_fail_is_not_sent(failure: Exception, status: Status, message: str) -> None:
    async def fail(service_url: str, method: str) -> dict[str, str]:
        raise failure

    guarded = Guarded()
    async with guarded.channel(fail) as channel:
        with pytest.raises(GRPCError, match=message) as raised:
            await unary(channel, "One")
        assert raised.value.status is status
        assert channel.calls == 0
    assert guarded.seen == []


async def test_call_credentials_must_come_before_the_call_s_deadline(autojump_clock: trio.abc.Clock) -> None:
    async def wait(service_url: str, method: str) -> dict[str, str]:
        await trio.sleep_forever()

    async with Guarded().channel(wait) as channel:
        with pytest.raises(GRPCError, match="call credentials") as raised:
            await unary(channel, "One", timeout=3)
        assert raised.value.status is Status.DEADLINE_EXCEEDED


async def test_call_credentials_need_tls_unless_plain_text_is_allowed() -> None:
    with pytest.raises(ValueError, match="in plain text: use TLS, or allow it with plaintext_credentials=True"):
        async with open_channel("localhost", call_credentials=Tokens()):
            pass
    async with open_channel("localhost", codec=CODEC) as channel:
        with pytest.raises(ValueError, match="in plain text"):
            channel.request("/test.Service/One", UNARY, bytes, bytes, credentials=Tokens())


async def test_tls_carries_call_credentials(tmp_path: Path) -> None:
    certificates, guarded, tokens = Certificates(tmp_path), Guarded(), Tokens()
    async with anyio.create_task_group() as tasks:
        listener = await open_tcp_listener("127.0.0.1", 0, tls=certificates.serving())
        port = listener.extra(SocketAttribute.local_port)
        await tasks.start(guarded.server.serve, listener)
        for authority in (None, "localhost:443"):
            async with (
                open_channel(
                    "localhost",
                    port,
                    tls=certificates.calling(),
                    authority=authority,
                    call_credentials=tokens,
                    codec=CODEC,
                ) as channel,
                call(channel, "One", UNARY) as stream,
            ):
                await stream.send_message(b"")
                await stream.recv_message()
        tasks.cancel_scope.cancel()
    assert guarded.seen == [["Bearer 1"], ["Bearer 2"]]
    assert tokens.asked == [
        (f"https://localhost:{port}/test.Service", "One"),
        ("https://localhost/test.Service", "One"),
    ]
