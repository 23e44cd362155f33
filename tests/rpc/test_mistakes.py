"""A program's mistakes are reported where they are made, in words that name them."""

from collections.abc import AsyncIterator, Awaitable, Callable

import anyio
import anyio.from_thread
import pytest

from echo.pb.com.gopay.echo import Message, Response, ServerBase, ServerStub
from echo.pb.com.gopay.echo.streaming import StreamingServerBase, StreamingServerStub, StreamMessage, StreamResponse
from echo.rpc import (
    Cardinality,
    Channel,
    GRPCError,
    ProtocolError,
    Server,
    bind,
    open_channel,
    open_tcp_listener,
    open_unix_listener,
)
from echo.rpc.health import Health
from echo.rpc.testing import memory_channel, memory_channel_to
from echo.services import EchoService
from tests.support.services import ECHO, BytesCodec, on_both_loops, unary


async def serve_a_class() -> None:
    Server([EchoService])  # type: ignore[list-item]


async def serve_with_a_number_for_keepalive() -> None:
    Server([EchoService()], keepalive=30)  # type: ignore[arg-type]


async def call_with_the_same() -> None:
    async with open_channel("localhost", keepalive=30):  # type: ignore[arg-type]
        pass


async def serve_with_a_dictionary_of_limits() -> None:
    Server([EchoService()], limits={"max_message_size": 5})  # type: ignore[arg-type]


async def call_with_a_dictionary_of_limits() -> None:
    async with open_channel("localhost", limits={"max_message_size": 5}):  # type: ignore[arg-type]
        pass


async def serve_with_the_class_of_a_codec() -> None:
    Server([EchoService()], codec=BytesCodec)  # type: ignore[arg-type]


async def call_with_the_class_of_a_codec() -> None:
    async with open_channel("localhost", codec=BytesCodec) as channel:  # type: ignore[arg-type]
        channel.request("/com.gopay.echo.Server/GetReply", Cardinality.UNARY_UNARY, Message, Response)


async def give_a_port_as_text() -> None:
    async with open_channel("localhost", "8081"):  # type: ignore[arg-type]
        pass


async def name_a_kind_of_call() -> None:
    async with memory_channel([EchoService()]) as channel:
        channel.request("/com.gopay.echo.Server/GetReply", "unary", Message, Response)  # type: ignore[arg-type]


class Servicer:
    """As grpcio's are: without ``__mapping__``."""


async def serve_a_servicer() -> None:
    Server([Servicer()])  # type: ignore[list-item]


async def watch_a_servicer() -> None:
    Health([Servicer()])  # type: ignore[list-item]


async def set_a_health_of_text() -> None:
    Health([EchoService()]).set("com.gopay.echo.Server", "SERVING")  # type: ignore[arg-type]


async def watch_one_name() -> None:
    Health("tests.Todos")  # A type checker takes it for an iterable of strings.


async def serve_a_service_without_a_list() -> None:
    Server(EchoService())  # type: ignore[arg-type]


async def call_a_service_without_a_list() -> None:
    async with memory_channel(EchoService()):  # type: ignore[arg-type]
        pass


async def tls_in_grpclib_s_way() -> None:
    async with open_channel("localhost", tls=True):  # type: ignore[arg-type]
        pass


async def listen_with_the_same() -> None:
    await open_tcp_listener("127.0.0.1", 0, tls=True)  # type: ignore[arg-type]


async def listen_on_a_path_with_the_same() -> None:
    await open_unix_listener("/nowhere/socket", tls="cert.pem")  # type: ignore[arg-type]


async def misspell_an_option() -> None:
    async with open_channel("localhost", wait_until_ready=True):  # type: ignore[call-arg]
        pass


async def misspell_an_option_of_a_call() -> None:
    async with memory_channel([]) as channel:
        channel.unary_unary("/a.B/C")(b"", time_out=5)  # type: ignore[call-arg]


async def expect_a_number() -> None:
    async with memory_channel([EchoService()]) as channel:
        channel.request("/com.gopay.echo.Server/GetReply", Cardinality.UNARY_UNARY, Message, int)


async def expect_nothing() -> None:
    async with memory_channel([EchoService()]) as channel:
        channel.request("/com.gopay.echo.Server/GetReply", Cardinality.UNARY_UNARY, Message, None)  # type: ignore[arg-type]


async def watched(call: object) -> AsyncIterator[None]:
    yield


async def intercept_without_a_context() -> None:
    Server([EchoService()], interceptors=[watched])  # type: ignore[list-item]


async def intercept_calls_without_a_context() -> None:
    async with open_channel("localhost", interceptors=[intercepting]):  # type: ignore[list-item]
        pass


async def intercepting(call: object) -> None:
    """As an interceptor for other libraries may look."""


async def give_a_timeout_as_text() -> None:
    async with memory_channel([EchoService()]) as channel:
        await ServerStub(channel).get_reply(Message(), timeout="5")  # type: ignore[arg-type]


async def give_a_deadline_as_a_number() -> None:
    async with memory_channel([EchoService()]) as channel:
        await ServerStub(channel).get_reply(Message(), deadline=5)  # type: ignore[arg-type]


class GrpclibStub:
    """As grpclib's plugin generates them."""

    def __init__(self, channel: Channel) -> None:
        """Take the channel."""


async def bind_a_stub_of_grpclib_s() -> None:
    async with memory_channel([EchoService()]) as channel, bind(GrpclibStub, channel):
        pass


async def bind_an_instance() -> None:
    async with memory_channel([EchoService()]) as channel, bind(ServerStub(channel), channel):  # type: ignore[arg-type]
        pass


async def send_a_dictionary() -> None:
    async with memory_channel([EchoService()]) as channel:
        await ServerStub(channel).get_reply({"message": "hi"})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("mistake", "said"),
    [
        (serve_a_class, r"EchoService is a class: serve an instance of it, such as EchoService\(\)"),
        (serve_with_a_number_for_keepalive, r"keepalive must be a Keepalive, such as Keepalive\(time=30\), not 30"),
        (call_with_the_same, r"keepalive must be a Keepalive, such as Keepalive\(time=30\), not 30"),
        (
            serve_with_a_dictionary_of_limits,
            r"limits must be a Limits, such as Limits\(max_message_size=.*\), not \{.*",
        ),
        (call_with_a_dictionary_of_limits, r"limits must be a Limits, such as Limits\(max_message_size=.*\), not \{.*"),
        (serve_with_the_class_of_a_codec, r"BytesCodec is a class: give an instance of it, such as BytesCodec\(\)"),
        (call_with_the_class_of_a_codec, r"BytesCodec is a class: give an instance of it, such as BytesCodec\(\)"),
        (give_a_port_as_text, "port must be a number, not '8081'"),
        (name_a_kind_of_call, r"cardinality must be a Cardinality, such as Cardinality\.UNARY_UNARY, not 'unary'"),
        (serve_a_servicer, r"Servicer is not a service, .* registered by add_\.\.\.Servicer_to_server\(.*"),
        (watch_a_servicer, "Servicer is not a service, as it has no __mapping__; .*, and named by its name"),
        (set_a_health_of_text, r"the status is SERVING or NOT_SERVING of echo\.rpc\.health, not 'SERVING'"),
        (watch_one_name, r"services are given as a list: \['tests\.Todos'\]"),
        (serve_a_service_without_a_list, r"services are given as a list: \[<.*EchoService object .*>\]"),
        (call_a_service_without_a_list, r"services are given as a list: \[<.*EchoService object .*>\]"),
        (tls_in_grpclib_s_way, r"tls must be an ssl\.SSLContext, .*, not True"),
        (listen_with_the_same, r"tls must be an ssl\.SSLContext, .*, not True"),
        (listen_on_a_path_with_the_same, r"tls must be an ssl\.SSLContext, .*, not 'cert\.pem'"),
        (misspell_an_option, "open_channel takes no argument 'wait_until_ready'"),
        (misspell_an_option_of_a_call, "/a.B/C takes no argument 'time_out'"),
        (expect_a_number, "int is not a class of messages: it has no SerializeToString and FromString"),
        (expect_nothing, "None is not a class of messages"),
        (
            intercept_without_a_context,
            r"watched returns no async context: decorate it with contextlib\.asynccontextmanager, and have it yield .*",
        ),
        (intercept_calls_without_a_context, "intercepting returns no async context: decorate it with .*"),
        (give_a_timeout_as_text, "timeout must be a number of seconds, not '5'"),
        (give_a_deadline_as_a_number, r"deadline must be a Deadline, such as Deadline\.from_timeout\(5\), not 5"),
        (
            bind_a_stub_of_grpclib_s,
            "bind takes a class of stubs generated by betterproto, not .*GrpclibStub.*: stubs .*",
        ),
        (bind_an_instance, "bind takes a class of stubs generated by betterproto, not .*ServerStub object.*: stubs .*"),
        (send_a_dictionary, "dict is not a class of messages: it has no SerializeToString and FromString"),
    ],
)
@on_both_loops
async def test_a_mistake_is_named(mistake: Callable[[], Awaitable[None]], said: str) -> None:
    with pytest.raises(TypeError, match=f"^{said}$"):
        await mistake()


@on_both_loops
async def test_a_path_without_its_first_slash_is_refused() -> None:
    async with memory_channel([EchoService()]) as channel:
        with pytest.raises(ValueError, match=r"^a method is named '/package\.Service/Method', not 'a\.B/C'$"):
            channel.request("a.B/C", Cardinality.UNARY_UNARY, Message, Response)


class Forgetful(ServerBase):
    """Its method returns nothing."""

    async def get_reply(self, message: Message) -> Response:  # type: ignore[empty-body]
        """Forget to return."""


@on_both_loops
async def test_a_reply_that_was_forgotten_is_named_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    async with memory_channel([Forgetful()]) as channel:
        with pytest.raises(GRPCError, match="INTERNAL"):
            await ServerStub(channel).get_reply(Message())
    assert "the message must be of the class Response, not NoneType" in caplog.text
    caplog.clear()


@on_both_loops
async def test_a_method_whose_messages_have_no_codec_is_named_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    """As in a program that has forgotten to give the server its codec."""

    async with memory_channel_to(Server([ECHO]), codec=BytesCodec()) as channel:
        with pytest.raises(GRPCError, match="INTERNAL"):
            await unary(channel, "One", b"hi")
    assert "/test.Service/One: bytes is not a class of messages" in caplog.text
    caplog.clear()


@pytest.mark.parametrize("backend", ["trio", "asyncio"])
@on_both_loops
async def test_a_channel_is_not_used_in_the_event_loop_of_another_thread(backend: str) -> None:
    async with memory_channel([EchoService()]) as channel:
        stub = ServerStub(channel)

        async def call() -> bool:
            return (await stub.get_reply(Message("hi"))).success

        def elsewhere() -> bool:
            with pytest.raises(RuntimeError, match="the channel belongs to another thread's event loop"):
                anyio.run(call, backend=backend)
            return anyio.from_thread.run(call, token=channel.loop.token)

        assert await anyio.to_thread.run_sync(elsewhere)
        assert await call()


@on_both_loops
async def test_a_call_is_not_made_outside_its_block() -> None:
    """Nobody would end it, and no interceptor see it."""

    async with memory_channel([EchoService()]) as channel:
        stream = channel.request("/com.gopay.echo.Server/GetReply", Cardinality.UNARY_UNARY, Message, Response)
        with pytest.raises(ProtocolError, match=r"'async with channel\.request\(\.\.\.\) as stream'"):
            await stream.send_message(Message("hi"))
        async with stream:
            await stream.send_message(Message("hi"))


@on_both_loops
async def test_a_call_is_not_made_twice() -> None:
    async with memory_channel([EchoService()]) as channel:
        call = channel.request("/com.gopay.echo.Server/GetReply", Cardinality.UNARY_UNARY, Message, Response)
        async with call as stream:
            await stream.send_message(Message("hi"))
            assert await stream.recv_message() is not None
        with pytest.raises(ProtocolError, match=r"^a call is made once: prepare another by channel\.request"):
            async with call:
                pass


class Returning(StreamingServerBase):
    """Its method returns what it should yield."""

    def __init__(self, replies: object) -> None:
        self._replies = replies

    async def server_stream(self, stream_message: StreamMessage) -> object:  # type: ignore[override]  # noqa: ARG002
        return self._replies


class ReturningAtOnce(Returning):
    def server_stream(self, stream_message: StreamMessage) -> object:  # type: ignore[override]  # noqa: ARG002
        return self._replies


@pytest.mark.parametrize(
    ("service", "what"),
    [
        (Returning([StreamResponse()]), "a list"),
        (Returning(StreamResponse()), "a StreamResponse"),
        (ReturningAtOnce([StreamResponse()]), "a list"),
        (ReturningAtOnce(iter([StreamResponse()])), "a list_iterator"),
    ],
    ids=lambda value: value if isinstance(value, str) else type(value).__name__,
)
@on_both_loops
async def test_replies_that_are_returned_instead_of_yielded_are_not_lost_silently(
    caplog: pytest.LogCaptureFixture, service: Returning, what: str
) -> None:
    async with memory_channel([service]) as channel, bind(StreamingServerStub, channel) as stub:
        with pytest.raises(GRPCError, match="INTERNAL"):
            assert [reply async for reply in stub.server_stream(StreamMessage())] == []
    assert f"a streaming method yields its replies, as an async generator; this one returned {what}" in caplog.text
    caplog.clear()
