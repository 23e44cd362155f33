"""``python -m echo`` and ``echo-grpc``: the way in. `echo.cli` reads the command line, `echo.cli.programs` runs it.

A health check is run every few seconds, often with little CPU, so it does not wait until all of that is loaded.
"""

import sys
from collections.abc import Callable
from functools import partial

from echo.extras import MissingExtraError, needs
from echo.standard_streams import drop_unwritten, occupy_closed

__all__ = ["main"]


def main() -> int:
    """Do what the command line says, if what that takes is installed; returns the exit status."""
    occupy_closed()  # Before anything else is loaded: libraries open files, too, and some keep them open.
    try:
        return _run()
    finally:
        drop_unwritten()


def _run() -> int:
    try:
        with needs("cli", part="the command line"):
            run = _command()
    except MissingExtraError as error:
        print(f"echo-grpc: {error}", file=sys.stderr)  # noqa: T201 - There is no log yet.
        return 2
    except MemoryError:
        print("echo-grpc: no memory is left", file=sys.stderr)  # noqa: T201 - As above.
        return 2
    except KeyboardInterrupt:  # While all of that is loaded.
        return 130
    return run()


def _command() -> Callable[[], int]:
    """Load no more than the command takes; not before `main`, so that its absence can be told."""
    if sys.argv[1:2] == ["health"]:
        from echo.health.command import health  # noqa: PLC0415 - See above.

        return partial(health, sys.argv[2:])
    from echo.cli import main as run  # noqa: PLC0415 - See above.

    return run


if __name__ == "__main__":
    sys.exit(main())
