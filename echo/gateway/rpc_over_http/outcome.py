"""How a call ended, and Connect's format for it: names of the codes, errors in JSON with details. Pure functions.

gRPC carries details as a serialised ``google.rpc.Status`` in ``grpc-status-details-bin``, Connect as a list in JSON.
The message class is built here from a descriptor, since nothing else of Google's common types is needed.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import msgspec
from google.protobuf import any_pb2, descriptor_pb2
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message import DecodeError
from google.protobuf.message_factory import GetMessageClass

from echo.rpc import GRPCError, Status
from echo.wire import encode_bin

Pairs: TypeAlias = Sequence[tuple[str, str]]
"""Metadata in HTTP's form: binary values are base64."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a call ended.

    Attributes:
        status: The call's status.
        message: The status message; text without lone surrogates.
        details: A serialised ``google.rpc.Status``, or None.
        trailers: The trailing metadata.
    """

    status: Status = Status.OK
    message: str = ""
    details: bytes | None = None
    trailers: Pairs = ()


GOING_AWAY: Final = Outcome(Status.UNAVAILABLE, "going away")
FAULT: Final = Outcome(Status.INTERNAL, "the gateway failed")
TOO_LATE: Final = Outcome(Status.DEADLINE_EXCEEDED, "the deadline passed")


def outcome_of(error: GRPCError, trailers: Pairs = ()) -> Outcome:
    """The outcome of a call that failed."""
    details = error.details if isinstance(error.details, bytes) else None
    text = (error.message or "").encode("utf-8", "replace").decode()
    return Outcome(error.status, text, details, trailers)


def code_of(status: Status) -> str:
    """A status by its name in Connect."""
    return "canceled" if status is Status.CANCELLED else status.name.lower()


def error_of(outcome: Outcome) -> dict[str, object]:
    """The JSON error for an outcome that is not OK (Connect, "Error Codes" and "Error Details")."""
    error: dict[str, object] = {"code": code_of(outcome.status)}
    if outcome.message:
        error["message"] = outcome.message
    if details := _details_of(outcome.details):
        error["details"] = details
    return error


def error_body(outcome: Outcome) -> bytes:
    """The body of a unary response that reports an error."""
    return msgspec.json.encode(error_of(outcome))


def end_of_stream(outcome: Outcome) -> bytes:
    """The last message of a stream (Connect, "Streaming Response": EndStreamResponse)."""
    end: dict[str, object] = {}
    if outcome.status is not Status.OK:
        end["error"] = error_of(outcome)
    if outcome.trailers:
        metadata: dict[str, list[str]] = {}
        for name, value in outcome.trailers:
            metadata.setdefault(name, []).append(value)
        end["metadata"] = metadata
    return msgspec.json.encode(end)


def _details_of(octets: bytes | None) -> list[dict[str, str]]:
    """The details in a serialised ``google.rpc.Status``; empty if the bytes are invalid."""
    if not octets:
        return []
    try:
        details = _RPC_STATUS.FromString(octets).details
    except DecodeError:
        return []
    return [
        {"type": detail.type_url.rpartition("/")[2], "value": encode_bin(detail.value).decode()} for detail in details
    ]


def _rpc_status() -> Any:
    field = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(
        name="google/rpc/status.proto",
        package="google.rpc",
        syntax="proto3",
        dependency=["google/protobuf/any.proto"],
        message_type=[
            descriptor_pb2.DescriptorProto(
                name="Status",
                field=[
                    field(name="code", number=1, type=field.TYPE_INT32, label=field.LABEL_OPTIONAL),
                    field(name="message", number=2, type=field.TYPE_STRING, label=field.LABEL_OPTIONAL),
                    field(
                        name="details",
                        number=3,
                        type=field.TYPE_MESSAGE,
                        type_name=".google.protobuf.Any",
                        label=field.LABEL_REPEATED,
                    ),
                ],
            )
        ],
    )
    pool = DescriptorPool()
    pool.AddSerializedFile(any_pb2.DESCRIPTOR.serialized_pb)
    pool.AddSerializedFile(file.SerializeToString())
    return GetMessageClass(pool.FindMessageTypeByName("google.rpc.Status"))


_RPC_STATUS: Final = _rpc_status()
