"""Credentials of a single call, ``credentials=``: grpc.aio's behaviour, see `conftest`."""

import threading
from collections.abc import Callable
from typing import Any

import grpc
import pytest
from anyio import from_thread
from anyio.lowlevel import EventLoopToken, current_token

from echo.rpc.testing import memory_channel
from tests.rpc.grpcio_style.conftest import Library, Tls, in_its_loop, open_ours
from tests.rpc.grpcio_style.servicers import Todo, Todos
from tests.support.generated import protobuf
from tests.support.services import Run, on_both_loops

METHOD = "/tests.todo.v1.Todos/Add"


class Plugin(grpc.AuthMetadataPlugin):  # type: ignore[misc]  # grpcio ships no types.
    """Answers at once, from another thread or the event loop's, twice, never, with an error, or with an exception."""

    def __init__(self, how: str = "at once") -> None:
        self.how = how
        self.asked: list[tuple[str, str]] = []
        self.callback: Callable[..., None] | None = None
        self.loop: EventLoopToken | None = None

    def __call__(self, context: Any, callback: Callable[..., None]) -> None:
        self.asked.append((context.service_url, context.method_name))
        self.callback = callback
        if self.how == "an exception":
            raise RuntimeError("the token service is away")
        if self.how == "an error":
            callback(None, RuntimeError("the token service is away"))
        elif self.how == "from another thread":
            threading.Timer(0.01, callback, ((("x-user", self.how),), None)).start()
        elif self.how == "on the loop's thread":
            from_thread.run_sync(callback, (("x-user", self.how),), None, token=self.loop)
        elif self.how != "never":
            callback((("x-user", self.how), ("x-key-bin", b"\x00\xff")), None)
            if self.how == "twice":
                callback((("x-user", "once more"),), None)
            if self.how == "and then an exception":
                raise RuntimeError("the token service is away")


@pytest.fixture(scope="module")
def tls() -> Tls:
    return Tls()


def called(
    library: Library, tls: Tls, credentials: object, plugin: Plugin | None = None
) -> list[tuple[str, str | bytes]]:
    """The metadata that a call with these credentials brings along."""
    servicer = Todos()

    async def main(library: Library) -> None:
        if plugin is not None:
            plugin.loop = current_token()
        async with library.open_channel(servicer, tls) as channel:
            await protobuf("todo_pb2_grpc").TodosStub(channel).Add(Todo(title="a"), credentials=credentials)

    library.run(main)
    return list(servicer.seen[0].invocation_metadata())


@pytest.mark.parametrize(
    "how", ["at once", "from another thread", "on the loop's thread", "twice", "and then an exception"]
)
def test_a_plugin_is_asked_for_metadata(library: Library, tls: Tls, how: str) -> None:
    plugin = Plugin(how)
    found = called(library, tls, grpc.metadata_call_credentials(plugin), plugin)
    assert [value for name, value in found if name == "x-user"] == [how]
    ((url, method),) = plugin.asked
    assert url.startswith("https://localhost:")
    assert url.endswith("/tests.todo.v1.Todos")
    assert method == "Add"


def test_a_token_is_sent_as_bearer(library: Library, tls: Tls) -> None:
    assert ("authorization", "Bearer t0ken") in called(library, tls, grpc.access_token_call_credentials("t0ken"))


def test_of_several_together_each_is_asked(library: Library, tls: Tls) -> None:
    both = grpc.composite_call_credentials(
        grpc.access_token_call_credentials("t0ken"), grpc.metadata_call_credentials(Plugin())
    )
    found = called(library, tls, both)
    assert ("authorization", "Bearer t0ken") in found
    assert ("x-key-bin", b"\x00\xff") in found


@pytest.mark.parametrize("how", ["an error", "an exception"])
@in_its_loop
async def test_a_plugin_that_fails_fails_the_call(library: Library, tls: Tls, how: str) -> None:
    async with library.open_channel(Todos(), tls) as channel:
        call = (
            protobuf("todo_pb2_grpc")
            .TodosStub(channel)
            .Add(Todo(title="a"), credentials=grpc.metadata_call_credentials(Plugin(how)))
        )
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await call
        assert raised.value.code() is grpc.StatusCode.UNAVAILABLE
        assert "Getting metadata from plugin failed with error" in raised.value.details()
        assert "the token service is away" in raised.value.details()


def test_a_plugin_that_never_answers_is_given_up_at_the_deadline(library: Library, tls: Tls) -> None:
    plugin = Plugin("never")

    async def main(library: Library) -> None:
        async with library.open_channel(Todos(), tls) as channel:
            await channel.channel_ready()  # The deadline is to pass later than that.
            call = (
                protobuf("todo_pb2_grpc")
                .TodosStub(channel)
                .Add(Todo(title="a"), timeout=0.3, credentials=grpc.metadata_call_credentials(plugin))
            )
            with pytest.raises(grpc.aio.AioRpcError) as raised:
                await call
            assert raised.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED

    library.run(main)
    if plugin.callback is not None:  # On a busy machine the deadline may pass before it is asked.
        plugin.callback((("x-user", "too late"),), None)  # The loop is gone, too.


def test_ours_are_taken_too(run: Run, tls: Tls) -> None:
    async def token(url: str, method: str) -> list[tuple[str, str]]:
        assert url.startswith("https://localhost:")
        return [("authorization", f"Bearer for {method}")]

    class OfClass:
        async def __call__(self, url: str, method: str) -> list[tuple[str, str]]:
            return await token(url, method)

    servicer = Todos()

    async def main() -> None:
        async with open_ours(servicer, tls) as channel:
            stub = protobuf("todo_pb2_grpc").TodosStub(channel)
            for credentials in (token, OfClass()):
                await stub.Add(Todo(title="a"), credentials=credentials)

    run(main)
    for context in servicer.seen:
        assert ("authorization", "Bearer for Add") in list(context.invocation_metadata())


@on_both_loops
async def test_without_tls_they_are_refused_in_one_line() -> None:
    async with memory_channel([]) as channel:
        method = channel.unary_unary(METHOD)
        with pytest.raises(grpc.aio.UsageError, match="plain text: use TLS, or allow it"):
            method(b"", credentials=grpc.access_token_call_credentials("t0ken"))
        for unknown in ("t0ken", Plugin()):
            with pytest.raises(
                grpc.aio.UsageError, match=r"is not supported as credentials, only grpc\.CallCredentials are"
            ):
                method(b"", credentials=unknown)
