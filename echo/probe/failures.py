"""What a check has raised, as a finding."""

import traceback
from collections.abc import Mapping

from echo.probe.check import Check, Kind
from echo.probe.finding import Finding, JsonValue, inconclusive
from echo.probe.line import UnreachableError
from echo.probe.web import what_came
from echo.probe.websocket import RefusedError
from echo.rpc import GRPCError


def failed(check: Check, error: Exception) -> Finding:
    """The finding of a check that has raised this."""
    first = _innermost(error)
    if isinstance(first, UnreachableError):
        return unconnected(check, str(first))
    if isinstance(first, GRPCError):
        return inconclusive(f"A call failed, so it could not be checked: {_call_in_words(first)}.")
    if isinstance(first, RefusedError):
        return inconclusive(f"A WebSocket was refused, so it could not be checked: {what_came(first.answer)}.")
    return inconclusive(
        f"The check itself failed: {_in_words(first)}.",
        details={"error": traceback.format_exception_only(error)[-1]},
    )


def unconnected(check: Check, why: str, details: Mapping[str, JsonValue] | None = None) -> Finding:
    """The finding of a check for which a connection could not be made."""
    before = "" if check.kind is not Kind.GRPC else ", though the first one could"
    return inconclusive(f"No connection could be made for it{before}: {why}.", details=details)


def _innermost(error: BaseException) -> BaseException:
    """The error inside the groups that nurseries wrap around it."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def _call_in_words(error: GRPCError) -> str:
    return f"{error.status.name} ({error.message})" if error.message else error.status.name


def _in_words(error: BaseException) -> str:
    text, name = str(error).rstrip("."), type(error).__name__
    return f"{name} ({text})" if text else name
