"""Errors that keep a program from starting, and how to find them in a nursery's exception groups."""

import errno
import os
from collections.abc import Iterator
from typing import TypeVar

from echo.settings import Settings

__all__ = ["StartError", "first", "shortage", "unavailable", "without_groups_of_one"]

E = TypeVar("E", bound=BaseException)


class StartError(Exception):
    """The program can't start. Its text is one line naming the cause, usually an address."""


def first(kind: type[E] | tuple[type[E], ...], error: BaseException) -> E | None:
    """The error if it is of this kind, or the first error of this kind in its groups at any depth; else None."""
    return next((found for found in _leaves(error) if isinstance(found, kind)), None)


def _leaves(error: BaseException) -> Iterator[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        for inner in error.exceptions:
            yield from _leaves(inner)
    else:
        yield error


def without_groups_of_one(error: BaseException) -> BaseException:
    """The error in groups of one, however deep: tracebacks show ten levels of groups, and programs may have more."""
    while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    return error


def shortage(error: BaseException) -> str | None:
    """What the process has too little of, and what to do, in one line; None if the error, or group, is another."""
    for found in _leaves(error):
        if isinstance(found, OSError) and found.errno == errno.EMFILE:
            return f"all {os.sysconf('SC_OPEN_MAX')} file descriptors are in use: raise the limit (ulimit -n)"
        if isinstance(found, RuntimeError) and "can't start new thread" in str(found):
            return (
                "no thread can be started: raise the limit of processes and threads (ulimit -u, or a container's pids)"
            )
        if isinstance(found, MemoryError):
            return "no memory is left: raise the limit (ulimit -v, or a container's memory)"
    return None


def unavailable(settings: Settings, address: str, *fields: str, error: OSError) -> StartError:
    """The error for an address that can't be listened on; ``fields`` are the settings that name it."""
    names = ", ".join(settings.name_of(field) for field in fields)
    reason = "this machine has no IPv6" if error.errno == errno.EAFNOSUPPORT else error.strerror or error
    return StartError(f"cannot listen on {address} ({names}): {reason}")
