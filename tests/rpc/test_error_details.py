"""Details of a status as objects, from a handler's `GRPCError` to its caller's."""

from datetime import timedelta
from typing import Any

import grpc
import pytest
from betterproto.lib.google import protobuf as betterproto_lib_google_protobuf
from google.protobuf import any_pb2
from google.protobuf.wrappers_pb2 import StringValue
from google.rpc import error_details_pb2, status_pb2

from echo.pb.com.gopay.echo import Message, Response, ServerBase, ServerStub
from echo.pb.google.rpc import (
    BadRequest,
    BadRequestFieldViolation,
    ErrorInfo,
    Help,
    HelpLink,
    LocalizedMessage,
    RetryInfo,
)
from echo.rpc import GRPCError, Status
from echo.rpc.error_details import GOOGLE_RPC, ErrorDetails
from echo.rpc.testing import memory_channel
from tests.support.services import Run, on_both_loops

DETAILS = [
    BadRequest([BadRequestFieldViolation("title", "must not be empty")]),
    RetryInfo(timedelta(seconds=3)),
    ErrorInfo("OUT_OF_STOCK", "shop.example", {"sku": "42"}),
    LocalizedMessage("de", "Titel fehlt"),
    Help([HelpLink("how", "https://example.com/")]),
]


class Failing(ServerBase):
    def __init__(self, details: object) -> None:
        self.details = details

    async def get_reply(self, message: Message) -> Response:  # noqa: ARG002
        raise GRPCError(Status.INVALID_ARGUMENT, "no title", self.details)


async def failure(details: object, codec: ErrorDetails | None) -> GRPCError:
    async with memory_channel([Failing(details)], status_details_codec=codec) as channel:
        with pytest.raises(GRPCError) as raised:
            await ServerStub(channel).get_reply(Message())
    assert (raised.value.status, raised.value.message) == (Status.INVALID_ARGUMENT, "no title")
    return raised.value


@on_both_loops
async def test_details_arrive_as_they_were_raised() -> None:
    assert (await failure(DETAILS, ErrorDetails())).details == DETAILS
    assert (await failure([], ErrorDetails())).details == []
    assert (await failure(None, ErrorDetails())).details is None


def test_without_a_codec_the_status_arrives_without_them(run: Run, caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        assert (await failure(DETAILS, None)).details is None

    run(main)
    assert "GetReply: the server has no status_details_codec, so the details are left out" in caplog.text


@on_both_loops
async def test_without_a_codec_bytes_arrive_as_bytes() -> None:
    assert (await failure(b"\x08\x03", None)).details == b"\x08\x03"


@on_both_loops
async def test_application_messages_are_found_by_name() -> None:
    codec = ErrorDetails({"com.gopay.echo.Message": Message, "google.protobuf.StringValue": StringValue})
    details = [Message("hello"), StringValue(value="x")]
    assert (await failure(details, codec)).details == details


def test_a_detail_of_an_unknown_type_is_kept_as_it_came() -> None:
    data = ErrorDetails().encode(Status.ABORTED, "x", [StringValue(value="x"), RetryInfo(timedelta(seconds=1))])
    unknown, known = ErrorDetails().decode(Status.ABORTED, "x", data)
    assert getattr(unknown, "type_url", None) == "type.googleapis.com/google.protobuf.StringValue"
    assert known == RetryInfo(timedelta(seconds=1))


@pytest.mark.parametrize("kind", [betterproto_lib_google_protobuf.Any, any_pb2.Any])
@on_both_loops
async def test_a_detail_of_an_unknown_type_is_passed_on_as_it_came(kind: type[Any]) -> None:
    """As by a handler that lets the error of a call of its own propagate."""
    strange = kind(type_url="type.googleapis.com/shop.v1.OutOfStock", value=b"\x08\x2a")

    (detail,) = (await failure([strange], ErrorDetails())).details
    assert (detail.type_url, detail.value) == (strange.type_url, strange.value)


@on_both_loops
async def test_an_unknown_kind_of_detail_is_a_bug_of_the_handler(caplog: pytest.LogCaptureFixture) -> None:
    async with memory_channel([Failing([Message()])], status_details_codec=ErrorDetails()) as channel:
        with pytest.raises(GRPCError) as raised:
            await ServerStub(channel).get_reply(Message())
    assert raised.value.status is Status.INTERNAL
    assert "do not know Message: add it, as in ErrorDetails({'shop.v1.Message': Message})" in caplog.text
    caplog.clear()


def test_grpcio_reads_and_writes_the_same_bytes() -> None:
    theirs = status_pb2.Status(code=grpc.StatusCode.INVALID_ARGUMENT.value[0], message="no title")
    theirs.details.add().Pack(error_details_pb2.ErrorInfo(reason="A", domain="b", metadata={"c": "d"}))
    theirs.details.add().Pack(
        error_details_pb2.BadRequest(
            field_violations=[error_details_pb2.BadRequest.FieldViolation(field="f", description="d")]
        )
    )
    ours = [ErrorInfo("A", "b", {"c": "d"}), BadRequest([BadRequestFieldViolation("f", "d")])]
    assert ErrorDetails().decode(Status.INVALID_ARGUMENT, None, theirs.SerializeToString()) == ours
    assert status_pb2.Status.FromString(ErrorDetails().encode(Status.INVALID_ARGUMENT, "no title", ours)) == theirs


def test_every_message_of_google_s_is_known_by_its_name() -> None:
    assert set(GOOGLE_RPC) == {
        *("google.rpc.BadRequest", "google.rpc.DebugInfo", "google.rpc.ErrorInfo", "google.rpc.Help"),
        *("google.rpc.LocalizedMessage", "google.rpc.PreconditionFailure", "google.rpc.QuotaFailure"),
        *("google.rpc.RequestInfo", "google.rpc.ResourceInfo", "google.rpc.RetryInfo"),
    }
