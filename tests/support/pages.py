"""Tables in the docs that a command generates. They stand between two comments; the first names the command."""

import re
from pathlib import Path
from typing import Final

END: Final = "<!-- /written -->"


def begin(command: str) -> str:
    """The comment before the generated text."""
    return f"<!-- written by `{command}` -->"


def put(text: str, command: str, page: Path) -> None:
    """Replace the generated text.

    Raises:
        ValueError: The page does not have exactly one place for it. The page is left unchanged.
    """
    place = re.compile(rf"^{re.escape(begin(command))}\n.*?^{re.escape(END)}$", re.MULTILINE | re.DOTALL)
    words, places = place.subn(lambda _: f"{begin(command)}\n\n{text}\n\n{END}", page.read_text())
    if places != 1:
        raise ValueError(f"{page} needs one block from {begin(command)!r} to {END!r}")
    page.write_text(words)
