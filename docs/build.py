"""``just docs``: builds the pages into ``site/``, or serves them."""

import argparse
import os
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent


def main() -> int:
    """Run mkdocs, for which a warning is a failure; returns its status."""
    parser = argparse.ArgumentParser(prog="just docs", description="Build the pages of docs/ into site/.")
    parser.add_argument("--serve", action="store_true", help="show them in a browser while they are written")
    parser.add_argument("--into", type=Path, default=HERE.parent / "site", help="where to, if not site/")
    given = parser.parse_args()
    how = ["serve"] if given.serve else ["build", "--quiet", "--strict", "--site-dir", str(given.into.absolute())]
    command = [sys.executable, "-m", "mkdocs", *how, "--config-file", str(HERE / "mkdocs.yml")]
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}  # An advertisement.
    try:
        status = subprocess.run(command, cwd=HERE, env=environment, check=False).returncode  # noqa: S603 - Our own words.
    except KeyboardInterrupt:  # This is how --serve ends.
        return 130
    if status == 0 and not given.serve:
        sys.stdout.write(f"built; open {given.into / 'index.html'} in a browser\n")
    return status


if __name__ == "__main__":
    sys.exit(main())
