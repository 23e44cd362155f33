"""What keeps a program from starting, and how to find it in the groups that nurseries wrap around it."""

import errno
from typing import TypeVar

from echo.settings import Settings

__all__ = ["StartError", "first", "unavailable"]

E = TypeVar("E", bound=BaseException)


class StartError(Exception):
    """The program can't start. Its text is one line that names what is at fault, mostly an address."""


def first(kind: type[E] | tuple[type[E], ...], error: BaseException) -> E | None:
    """The error itself if it is of this kind, else the first such one inside, however deep; None if there is none."""
    if isinstance(error, BaseExceptionGroup):
        return next((found for inner in error.exceptions if (found := first(kind, inner))), None)
    return error if isinstance(error, kind) else None


def unavailable(settings: Settings, address: str, *fields: str, error: OSError) -> StartError:
    """What to say when an address can't be had that these settings name."""
    names = ", ".join(settings.name_of(field) for field in fields)
    reason = "this machine has no IPv6" if error.errno == errno.EAFNOSUPPORT else error.strerror or error
    return StartError(f"cannot listen on {address} ({names}): {reason}")
