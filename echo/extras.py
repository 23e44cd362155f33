"""What an optional part of echo needs, named in one line where it is missing."""

from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["MissingExtraError", "needs"]


class MissingExtraError(ModuleNotFoundError):
    """A part was imported whose extra is not installed; the text says what to install."""


@contextmanager
def needs(extra: str, *, part: str) -> Iterator[None]:
    """Import within this what the extra installs.

    Args:
        extra: One of `pyproject.toml`'s optional dependencies.
        part: What needs it, for people.

    Raises:
        MissingExtraError: Something of it is not installed.
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
