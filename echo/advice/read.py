"""Reads the advice, by check and cause or by what a hop says, from ``advice.toml``."""

import tomllib
from collections.abc import Mapping, Sequence
from functools import lru_cache
from importlib.resources import files
from typing import Any


@lru_cache
def read_advice() -> Mapping[str, Mapping[str, Sequence[str]]]:
    """All advice by check and cause, in lines like ``nginx: grpc_read_timeout (default 60s): raise it``.

    Raises:
        KeyError: An entry names a setting that ``advice.toml`` does not list.
    """
    document = _document()
    defaults = document["settings"]
    return {
        check: {cause: _lines(defaults, entries) for cause, entries in causes.items()}
        for check, causes in document["advice"].items()
    }


@lru_cache
def read_messages() -> Mapping[str, Sequence[str]]:
    """The advice for what hops say that tells the cause by itself, by these words. Raises what `read_advice` does."""
    document = _document()
    return {says: _lines(document["settings"], entries) for says, entries in document["messages"].items()}


def advice_for(check: str, cause: str) -> Sequence[str]:
    """The lines for a cause; empty if there are none."""
    return read_advice().get(check, {}).get(cause, ())


def advice_for_message(sentence: str) -> Sequence[str]:
    """The lines for what a hop says, if a sentence quotes something known; empty if it does not."""
    return next((lines for says, lines in read_messages().items() if says in sentence), ())


@lru_cache
def _document() -> Mapping[str, Any]:
    return tomllib.loads(files("echo.advice").joinpath("advice.toml").read_text("utf-8"))


def _lines(defaults: Mapping[str, Mapping[str, str]], entries: Sequence[Sequence[str]]) -> Sequence[str]:
    return [_line(defaults, product, setting, say) for product, setting, say in entries]


def _line(defaults: Mapping[str, Mapping[str, str]], product: str, setting: str, say: str) -> str:
    default = defaults[product][setting]
    return f"{product}: {setting} (default {default}): {say}" if default else f"{product}: {setting}: {say}"
