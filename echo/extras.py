"""Turns the ImportError of a missing optional dependency into one line that says what to install."""

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec

__all__ = ["MissingExtraError", "installed", "needs"]


class MissingExtraError(ModuleNotFoundError):
    """A part of echo was imported whose extra is not installed. The text says what to install."""


@contextmanager
def needs(extra: str, *, part: str) -> Iterator[None]:
    """A block that imports what the extra installs.

    Args:
        extra: One of the optional dependencies in ``pyproject.toml``.
        part: The part that needs it, as the message names it.

    Raises:
        MissingExtraError: One of the extra's modules is not installed.
    """
    try:
        yield
    except MissingExtraError:
        raise
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] == "echo":
            raise
        missing = f"{part} needs {error.name}: pip install 'echo-grpc[{extra}]'"
        raise MissingExtraError(missing, name=error.name) from error


def installed(*modules: str) -> bool:
    """Whether modules of an extra are installed, without loading them."""
    try:
        return all(find_spec(module) is not None for module in modules)
    except ModuleNotFoundError:  # The package of one is missing.
        return False
