"""Names of grpclib and ``grpc.aio`` that echo does not have: using one raises an error that says what to use instead.

The error is an `AttributeError`, raised when the name is looked up, so that ``hasattr`` works.
"""

from collections.abc import Callable, Mapping
from typing import NoReturn

__all__ = ["UnsupportedError", "refuse_unknown", "refusing"]


class UnsupportedError(AttributeError):
    """A name of another library was used. The text says what to use instead."""


def refusing(owner: str, instead: Mapping[str, str]) -> Callable[[object, str], NoReturn]:
    """A ``__getattr__`` for a class of this name.

    Args:
        owner: The class's name, for the message.
        instead: What to use instead, by name.
    """

    def refuse(self: object, name: str) -> NoReturn:
        if name in instead:
            raise UnsupportedError(f"{owner}.{name} is not supported: {instead[name]}")
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}", name=name, obj=self)

    return refuse


def refuse_unknown(given: Mapping[str, object], options: type, function: str) -> None:
    """Check that a function knows all the options it was given.

    Args:
        given: The options by name.
        options: The `TypedDict` of known options, which Python itself does not check.
        function: The function's name, for the message.

    Raises:
        TypeError: An option is unknown.
    """
    for name in given:
        if name not in options.__annotations__:
            raise TypeError(f"{function} takes no argument {name!r}")
