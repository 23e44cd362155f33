"""Errors that keep a program from starting, and how to find them in a nursery's exception groups."""

import errno
from typing import TypeVar

from echo.settings import Settings

__all__ = ["StartError", "first", "unavailable"]

E = TypeVar("E", bound=BaseException)


class StartError(Exception):
    """The program can't start. Its text is one line naming the cause, usually an address."""


def first(kind: type[E] | tuple[type[E], ...], error: BaseException) -> E | None:
    """The error if it is of this kind, or the first error of this kind in its groups at any depth; else None."""
    if isinstance(error, BaseExceptionGroup):
        return next((found for inner in error.exceptions if (found := first(kind, inner))), None)
    return error if isinstance(error, kind) else None


def unavailable(settings: Settings, address: str, *fields: str, error: OSError) -> StartError:
    """The error for an address that can't be listened on; ``fields`` are the settings that name it."""
    names = ", ".join(settings.name_of(field) for field in fields)
    reason = "this machine has no IPv6" if error.errno == errno.EAFNOSUPPORT else error.strerror or error
    return StartError(f"cannot listen on {address} ({names}): {reason}")
