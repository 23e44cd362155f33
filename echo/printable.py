"""What others have sent, made fit for a log, a terminal or a message to a person."""

from typing import Final

LIMIT: Final = 200


def printable(text: str, limit: int = LIMIT) -> str:
    r"""The text as one line of at most ``limit`` characters that does nothing to whatever displays it.

    Control characters, line breaks, terminal escapes, marks that turn the direction of text around, invisible
    characters and lone surrogates come out as Python writes them: ``\x1b``, ``\n``, ``\u202e``. Letters of every
    script stay. What is too long ends in ``…``.
    """
    if len(text) <= limit and text.isprintable():
        return text
    # No more of it is looked at than can be shown.
    shown = "".join(character if character.isprintable() else _escaped(character) for character in text[: limit + 1])
    return shown if len(shown) <= limit else shown[: limit - 1] + "…"


def printable_octets(octets: bytes, limit: int = LIMIT) -> str:
    """The same of octets that should be UTF-8."""
    return printable(octets[: 4 * limit + 4].decode("utf-8", "replace"), limit)


def _escaped(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")
