"""Putting `Connection` in place of Hypercorn's own, after a look at the versions."""

from importlib.metadata import version
from typing import Final

import hypercorn.trio.run

SUPPORTED: Final = {"hypercorn": ((0, 18), (0, 19)), "wsproto": ((1, 2), (2,))}
"""From which version on, and below which one, each package is known to behave as the files here say."""


class UnsupportedVersionError(Exception):
    """A package has a version whose behaviour is not known; the text is one line for the person who started us."""


def install() -> None:
    """Have Hypercorn's trio worker use `Connection`, for every server that starts in this process from now on.

    Raises:
        UnsupportedVersionError: Hypercorn or wsproto is of a version that this was not made for.
    """
    for package, (least, below) in SUPPORTED.items():
        found = version(package)
        if not least <= _parsed(found) < below:
            wanted = f">={_text(least)},<{_text(below)}"
            raise UnsupportedVersionError(
                f"{package} {found} is installed, but echo's gateway needs {package}{wanted}: "
                f"run pip install '{package}{wanted}'"
            )
    # Only now: what it is made of may not be there in another version.
    from echo.gateway.hypercorn_compat.connection import Connection  # noqa: PLC0415

    # By the module's dictionary: the name is imported there, not exported, which a type checker minds.
    vars(hypercorn.trio.run)["TCPServer"] = Connection


def _parsed(found: str) -> tuple[int, ...]:
    numbers = []
    for part in found.split("."):
        if not part.isdecimal():  # Such as rc1; what comes before it decides.
            break
        numbers.append(int(part))
    return tuple(numbers)


def _text(numbers: tuple[int, ...]) -> str:
    return ".".join(str(number) for number in numbers)
