"""Status details as objects: the messages in ``grpc-status-details-bin``, which is a ``google.rpc.Status``.

A handler raises ``GRPCError(Status.INVALID_ARGUMENT, "bad title", [BadRequest(...)])``, and its caller finds an equal
list in ``error.details``, if the server and the channel were given ``status_details_codec=ErrorDetails()``. The usual
messages are in `echo.pb.google.rpc`; clients in other languages know the same.
"""

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any, Final

from grpclib.encoding.base import StatusDetailsCodecBase

from echo.extras import needs
from echo.rpc.codec import DEFAULT_CODEC
from echo.wire import Status

with needs("betterproto", part="echo.rpc.error_details"):
    from echo.pb.google import rpc

__all__ = ["GOOGLE_RPC", "ErrorDetails"]

_Any = rpc.betterproto_lib_google_protobuf.Any  # type: ignore[attr-defined]  # betterproto's own, as it is used there.
PREFIX: Final = "type.googleapis.com/"

GOOGLE_RPC: Final[Mapping[str, type]] = MappingProxyType(
    {
        f"google.rpc.{kind.__name__}": kind
        for kind in (
            *(rpc.BadRequest, rpc.DebugInfo, rpc.ErrorInfo, rpc.Help, rpc.LocalizedMessage, rpc.PreconditionFailure),
            *(rpc.QuotaFailure, rpc.RequestInfo, rpc.ResourceInfo, rpc.RetryInfo),
        )
    }
)
"""The messages that every `ErrorDetails` knows, by full name."""


class ErrorDetails(StatusDetailsCodecBase):
    """Encodes and decodes status details, each of which is a message.

    Args:
        types: More message classes besides `GOOGLE_RPC`, by full name, for instance ``shop.v1.OutOfStock``.
    """

    def __init__(self, types: Mapping[str, type] | None = None) -> None:
        self._types = {**GOOGLE_RPC, **(types or {})}
        self._names = {kind: name for name, kind in self._types.items()}

    def encode(self, status: Status, message: str | None, details: Iterable[object]) -> bytes:
        """Encode a ``google.rpc.Status`` with these details. A ``google.protobuf.Any`` is passed on as it is.

        Raises:
            TypeError: The full name of a detail's class is not known.
        """
        return bytes(rpc.Status(status.value, message or "", [self._pack(one) for one in details]))

    def decode(self, status: Status, message: str | None, data: bytes) -> list[object]:  # noqa: ARG002 - grpclib's
        """Decode the details of a ``google.rpc.Status``. One of an unknown type stays a ``google.protobuf.Any``.

        Raises:
            ValueError: The bytes are not a ``google.rpc.Status``, or a detail's bytes are not of its type.
        """
        return [self._unpack(one) for one in rpc.Status().parse(data).details]

    def _pack(self, detail: Any) -> Any:
        if isinstance(detail, _Any):
            return detail
        name = self._name(detail)
        if name == "google.protobuf.Any":  # protobuf's own class.
            return _Any(detail.type_url, detail.value)
        return _Any(PREFIX + name, DEFAULT_CODEC.encode(detail, type(detail)))

    def _name(self, detail: object) -> str:
        name = self._names.get(type(detail)) or getattr(getattr(detail, "DESCRIPTOR", None), "full_name", None)
        if name is None:
            kind = type(detail).__name__
            raise TypeError(
                f"error details do not know {kind}: add it, as in ErrorDetails({{'shop.v1.{kind}': {kind}}})"
            )
        return str(name)

    def _unpack(self, detail: Any) -> object:
        kind = self._types.get(detail.type_url.rpartition("/")[2])
        return detail if kind is None else DEFAULT_CODEC.decode(detail.value, kind)
