"""Replaces Hypercorn's connection class by `Connection`, after checking the versions."""

from importlib.metadata import version
from typing import Final

import hypercorn.trio.run

SUPPORTED: Final = {"hypercorn": ((0, 18), (0, 19)), "wsproto": ((1, 2), (2,))}
"""The version range, upper bound excluded, for which each package is known to behave as described here."""


class UnsupportedVersionError(Exception):
    """A package has an unsupported version; the message is one line for the user."""


def install() -> None:
    """Make Hypercorn's trio worker use `Connection`, for every server that later starts in this process.

    Raises:
        UnsupportedVersionError: The version of Hypercorn or wsproto is not supported.
    """
    for package, (least, below) in SUPPORTED.items():
        found = version(package)
        if not least <= _parsed(found) < below:
            wanted = f">={_text(least)},<{_text(below)}"
            raise UnsupportedVersionError(
                f"{package} {found} is installed, but echo's gateway needs {package}{wanted}: "
                f"run pip install '{package}{wanted}'"
            )
    # Imported only now: another version may lack the classes it is built on.
    from echo.gateway.hypercorn_compat.connection import Connection  # noqa: PLC0415

    # Set through the module's dictionary, since type checkers reject the name, which is imported there, not exported.
    vars(hypercorn.trio.run)["TCPServer"] = Connection


def _parsed(found: str) -> tuple[int, ...]:
    numbers = []
    for part in found.split("."):
        if not part.isdecimal():  # Such as rc1; the numbers before it decide.
            break
        numbers.append(int(part))
    return tuple(numbers)


def _text(numbers: tuple[int, ...]) -> str:
    return ".".join(str(number) for number in numbers)
