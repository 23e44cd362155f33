"""Names of grpclib's and ``grpc.aio``'s that echo does not have: using one raises a line that says what to use.

What is raised is an `AttributeError`, on looking the name up, so that ``hasattr`` knows that it is missing.
"""

from collections.abc import Callable, Mapping
from typing import NoReturn

__all__ = ["UnsupportedError", "refuse_unknown", "refusing"]


class UnsupportedError(AttributeError):
    """A name of another library's was used; the text says what echo has in its place."""


def refusing(owner: str, instead: Mapping[str, str]) -> Callable[[object, str], NoReturn]:
    """A ``__getattr__`` for a class of this name.

    Args:
        owner: The class's name, for people.
        instead: By name, what to use in its place.
    """

    def refuse(self: object, name: str) -> NoReturn:
        if name in instead:
            raise UnsupportedError(f"{owner}.{name} is not supported: {instead[name]}")
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}", name=name, obj=self)

    return refuse


def refuse_unknown(given: Mapping[str, object], options: type, function: str) -> None:
    """Raise if an option is not among those that a function takes.

    Args:
        given: Options by name.
        options: A `TypedDict` of those that there are; type checkers know it, but Python itself does not look.
        function: Its name, for people.

    Raises:
        TypeError: One is unknown.
    """
    for name in given:
        if name not in options.__annotations__:
            raise TypeError(f"{function} takes no argument {name!r}")
