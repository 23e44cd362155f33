"""``python -m echo``: the way in. `echo.cli` reads the command line, `echo.cli.programs` runs what it asks for."""

import sys

from echo.extras import MissingExtraError, needs


def main() -> int:
    """Do what the command line says, if what that takes is installed; returns the exit status."""
    try:
        with needs("cli", part="the command line"):
            from echo.cli import main as run  # noqa: PLC0415 - So that its absence can be told.
    except MissingExtraError as error:
        print(f"echo-grpc: {error}", file=sys.stderr)  # noqa: T201 - There is no log yet.
        return 2
    return run()


if __name__ == "__main__":
    sys.exit(main())
