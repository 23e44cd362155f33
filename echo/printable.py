"""Makes text from peers safe to show in a log, a terminal or a message."""

from typing import Final

LIMIT: Final = 200


def printable(text: str, limit: int = LIMIT) -> str:
    r"""Turn text into one harmless line of at most ``limit`` characters.

    Control characters, line breaks, terminal escapes, bidirectional marks, invisible characters and lone surrogates
    are escaped as in Python: ``\x1b``, ``\n``, ``\u202e``. Letters of every script stay. Longer text ends in ``…``.
    """
    if len(text) <= limit and text.isprintable():
        return text
    # Only as much is read as can be shown.
    shown = "".join(character if character.isprintable() else _escaped(character) for character in text[: limit + 1])
    return shown if len(shown) <= limit else shown[: limit - 1] + "…"


def printable_octets(octets: bytes, limit: int = LIMIT) -> str:
    """The same for bytes that should be UTF-8."""
    return printable(octets[: 4 * limit + 4].decode("utf-8", "replace"), limit)


def _escaped(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")
