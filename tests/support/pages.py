"""Tables on the pages that a command writes: what is between two comments, of which the first names the command."""

import re
from pathlib import Path
from typing import Final

END: Final = "<!-- /written -->"


def begin(command: str) -> str:
    """The comment before what the command writes."""
    return f"<!-- written by `{command}` -->"


def put(text: str, command: str, page: Path) -> None:
    """Replace what the command has written there.

    Raises:
        ValueError: The page has not exactly one place for it. It is as it was then.
    """
    place = re.compile(rf"^{re.escape(begin(command))}\n.*?^{re.escape(END)}$", re.MULTILINE | re.DOTALL)
    words, places = place.subn(lambda _: f"{begin(command)}\n\n{text}\n\n{END}", page.read_text())
    if places != 1:
        raise ValueError(f"{page} needs one block from {begin(command)!r} to {END!r}")
    page.write_text(words)
