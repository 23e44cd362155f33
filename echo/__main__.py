"""``python -m echo``: the way in. `echo.cli` reads the command line, `echo.cli.programs` runs what it asks for."""

import sys

from echo.cli import main

if __name__ == "__main__":
    sys.exit(main())
