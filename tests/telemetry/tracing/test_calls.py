"""The spans of a server's calls, as a collector in memory sees them."""

import json

import grpc
import pytest
import trio
from multidict import MultiDict

from echo.logs import configure_logging
from echo.rpc import GRPCError
from tests.support.collector import NOT_SAMPLED, SAMPLED, SPAN, TRACE, Seen
from tests.support.logging_state import logging_restored
from tests.support.services import BIDI, UNARY, call, unary
from tests.support.traced import log, traced


async def served(message: bytes, *, traceparent: str = SAMPLED, **variables: str) -> tuple[bytes, list[Seen]]:
    """A unary call's reply, and what is seen of it."""
    async with traced(**variables) as ours:
        reply = await unary(ours.channel, "One", message, metadata={"traceparent": traceparent} if traceparent else {})
    return reply, ours.collector.spans


async def test_a_call_is_one_span_that_continues_the_caller_s_trace(autojump_clock: trio.abc.Clock) -> None:
    _, (span,) = await served(b"hi")
    assert (span.kind, span.name, span.trace, span.parent) == ("server", "test.Service/One", TRACE, SPAN)
    assert span.attributes == {
        "rpc.system.name": "grpc",
        "rpc.system": "grpc",
        "rpc.method": "test.Service/One",
        "rpc.response.status_code": "OK",
        "rpc.grpc.status_code": 0,
        "echo.messages.received": 1,
        "echo.messages.sent": 1,
    }
    assert (span.events, span.failed, span.span.flags) == ([], False, 0x301)
    assert 0 < span.span.start_time_unix_nano <= span.span.end_time_unix_nano


async def test_without_one_a_trace_begins(autojump_clock: trio.abc.Clock) -> None:
    _, (span,) = await served(b"hi", traceparent="")
    assert span.parent == ""
    assert int(span.trace, 16) > 0
    assert int(span.id, 16) > 0


@pytest.mark.parametrize("message", [b"hi", b"context"])
async def test_with_an_unsound_one_too_whether_or_not_the_handler_asks(
    message: bytes, autojump_clock: trio.abc.Clock
) -> None:
    reply, (span,) = await served(message, traceparent=f"00-{TRACE.upper()}-{SPAN}-01")
    assert span.parent == ""
    assert span.trace != TRACE
    assert reply in (b"hi", f"{span.trace}-{span.id}-1".encode())


@pytest.mark.parametrize("states", [["a=1,b=2"], ["a=1", "b=2"]], ids=["in one header", "in two"])
async def test_what_other_vendors_say_is_kept(states: list[str], autojump_clock: trio.abc.Clock) -> None:
    metadata: MultiDict[str | bytes] = MultiDict([("traceparent", SAMPLED), *(("tracestate", one) for one in states)])
    async with traced() as ours:
        await unary(ours.channel, "One", metadata=metadata)
        async with call(ours.channel, "Each", BIDI, metadata=metadata) as stream:
            await stream.send_message(b"hi", end=True)
            await stream.recv_trailing_metadata()
    assert [span.span.trace_state for span in ours.collector.spans] == ["a=1,b=2", "a=1,b=2"]


@pytest.mark.parametrize(
    ("traceparent", "sampler", "argument", "recorded"),
    [
        (SAMPLED, "", "", True),
        (NOT_SAMPLED, "", "", False),
        ("", "", "", True),
        (NOT_SAMPLED, "always_on", "", True),
        (SAMPLED, "always_off", "", False),
        ("", "always_off", "", False),
        ("", "parentbased_always_off", "", False),
        (SAMPLED, "parentbased_always_off", "", True),
        (SAMPLED, "traceidratio", "0", False),
        (SAMPLED, "traceidratio", "1", True),
        (SAMPLED, "parentbased_traceidratio", "0", True),
        ("", "parentbased_traceidratio", "0", False),
        ("", "parentbased_traceidratio", "1", True),
        ("", "no such sampler", "", True),
    ],
)
async def test_the_sampler_decides(
    traceparent: str,
    sampler: str,
    argument: str,
    recorded: bool,
    monkeypatch: pytest.MonkeyPatch,
    autojump_clock: trio.abc.Clock,
) -> None:
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", sampler)  # The SDK reads it, too.
    monkeypatch.setenv("OTEL_TRACES_SAMPLER_ARG", argument)
    _, spans = await served(b"hi", traceparent=traceparent, OTEL_TRACES_SAMPLER=sampler)
    assert len(spans) == recorded


@pytest.mark.parametrize(
    ("message", "status", "number", "failed"), [(b"not found", "NOT_FOUND", 5, False), (b"bug", "INTERNAL", 13, True)]
)
async def test_the_status_is_told_and_only_the_server_s_failures_are_errors(
    message: bytes, status: str, number: int, failed: bool, autojump_clock: trio.abc.Clock
) -> None:
    async with traced() as ours:
        with pytest.raises(GRPCError):
            await unary(ours.channel, "One", message)
    (span,) = ours.collector.spans
    assert (span.attributes["rpc.response.status_code"], span.attributes["rpc.grpc.status_code"]) == (status, number)
    assert span.failed is failed
    assert span.attributes.get("error.type") == (status if failed else None)
    assert span.span.status.message == ("internal server error" if failed else "")


async def test_a_stream_tells_its_course(autojump_clock: trio.abc.Clock) -> None:
    async with traced() as ours, call(ours.channel, "Each", BIDI) as stream:
        for _ in range(3):
            await stream.send_message(b"hi")
            await stream.recv_message()
        await stream.end()
        assert await stream.recv_message() is None
    (span,) = ours.collector.spans
    assert span.events == ["first message received", "first message sent", "half-close"]
    assert (span.attributes["echo.messages.received"], span.attributes["echo.messages.sent"]) == (3, 3)


async def test_a_call_that_its_client_cancels_says_so(autojump_clock: trio.abc.Clock) -> None:
    async with traced() as ours, call(ours.channel, "Each", BIDI) as stream:
        await stream.send_message(b"hi")
        await stream.recv_message()
        await stream.cancel()
    (span,) = ours.collector.spans
    assert span.events[-1] == "cancel: cancelled: the call was reset (CANCEL)"
    assert span.attributes["rpc.response.status_code"] == "CANCELLED"
    assert not span.failed


async def test_a_deadline_that_passes_is_a_cancel_with_that_cause(autojump_clock: trio.abc.Clock) -> None:
    async with traced() as ours:
        with pytest.raises(GRPCError):
            await unary(ours.channel, "One", b"sleep", timeout=1)
        await trio.sleep(1)
    (span,) = ours.collector.spans
    assert len(span.events) == 1
    assert span.events[0].startswith(("cancel: deadline", "cancel: cancelled"))  # Whoever's clock is first.
    assert span.attributes["rpc.response.status_code"] == "DEADLINE_EXCEEDED"
    assert span.failed


async def test_a_drain_is_seen_and_the_cancel_at_its_end(autojump_clock: trio.abc.Clock) -> None:
    async with traced() as ours, trio.open_nursery() as nursery:
        with pytest.raises(GRPCError):
            async with call(ours.channel, "Each", BIDI) as stream:
                await stream.send_message(b"hi")
                await stream.recv_message()
                nursery.start_soon(ours.server.drain, 5)
                await stream.recv_message()
    (span,) = ours.collector.spans
    assert span.events[2:] == ["drain", "cancel: draining: the server is shutting down"]
    assert span.attributes["rpc.response.status_code"] == "UNAVAILABLE"


async def test_a_lost_connection_is_a_cancel_with_that_cause(autojump_clock: trio.abc.Clock) -> None:
    async with traced() as ours:
        with pytest.raises(GRPCError):
            async with call(ours.channel, "Each", BIDI) as stream:
                await stream.send_message(b"hi")
                await stream.recv_message()
                await ours.network[0].aclose()
                await stream.recv_message()
    (span,) = ours.collector.spans
    assert span.events[-1].startswith("cancel: connection lost: ")


async def test_methods_that_do_not_exist_share_a_name(autojump_clock: trio.abc.Clock) -> None:
    async with traced() as ours:
        for name in ("Nonsense", "More"):
            with pytest.raises(GRPCError):
                await unary(ours.channel, name)
    for span, name in zip(ours.collector.spans, ("Nonsense", "More"), strict=True):
        assert (span.name, span.attributes["rpc.method"]) == ("grpc", "_OTHER")
        assert span.attributes["rpc.method_original"] == f"/test.Service/{name}"
        assert span.failed


async def test_a_method_that_a_server_is_given_later_has_its_name(autojump_clock: trio.abc.Clock) -> None:
    async with traced() as ours:
        ours.server.add_registered_method_handlers(
            "test.Later", {"One": grpc.unary_unary_rpc_method_handler(lambda request, _: request)}
        )
        async with ours.channel.request("/test.Later/One", UNARY, bytes, bytes) as stream:
            await stream.send_message(b"hi")
            assert await stream.recv_message() == b"hi"
    assert [span.name for span in ours.collector.spans] == ["test.Later/One"]


async def test_health_checks_are_not_traced(autojump_clock: trio.abc.Clock) -> None:
    async with traced(True) as ours:
        with pytest.raises(GRPCError):  # Its messages are not this codec's, but it was called.
            async with ours.channel.request("/grpc.health.v1.Health/Check", UNARY, bytes, bytes) as stream:
                await stream.send_message(b"")
                await stream.recv_message()
    assert "Health/Check" in ours.lines.getvalue()
    assert ours.collector.spans == []


async def test_a_handler_finds_its_span_and_adds_to_it(autojump_clock: trio.abc.Clock) -> None:
    reply, (span,) = await served(b"context")
    assert reply.decode() == f"{TRACE}-{span.id}-1"
    reply, _ = await served(b"context", traceparent=NOT_SAMPLED)
    assert reply.decode() == f"{TRACE}-{SPAN}-0"
    _, (span,) = await served(b"annotate")
    assert span.attributes["shelf"] == 7
    assert span.events == ["found: where=left"]


async def test_both_logs_tell_the_ids_of_the_span(
    capsys: pytest.CaptureFixture[str], autojump_clock: trio.abc.Clock
) -> None:
    with logging_restored():
        configure_logging(log_format="json")
        async with traced() as ours:
            await unary(ours.channel, "One", b"log")
        log.warning("after")
    (span,) = ours.collector.spans
    *of_the_call, after = map(json.loads, capsys.readouterr().err.splitlines())
    of_the_call += map(json.loads, ours.lines.getvalue().splitlines())
    assert [line["event"] for line in of_the_call] == ["looked", "looked, too", "call"]
    assert {(line["trace_id"], line["span_id"]) for line in of_the_call} == {(span.trace, span.id)}
    assert "trace_id" not in after
