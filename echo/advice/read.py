"""Reads the advice, by check and cause, from ``advice.toml``."""

import tomllib
from collections.abc import Mapping, Sequence
from functools import lru_cache
from importlib.resources import files


@lru_cache
def read_advice() -> Mapping[str, Mapping[str, Sequence[str]]]:
    """All advice by check and cause, in lines like ``nginx: grpc_read_timeout (default 60s): raise it``.

    Raises:
        KeyError: An entry names a setting that ``advice.toml`` does not list.
    """
    document = tomllib.loads(files("echo.advice").joinpath("advice.toml").read_text("utf-8"))
    defaults: Mapping[str, Mapping[str, str]] = document["settings"]
    return {
        check: {
            cause: [_line(defaults, product, setting, say) for product, setting, say in entries]
            for cause, entries in causes.items()
        }
        for check, causes in document["advice"].items()
    }


def advice_for(check: str, cause: str) -> Sequence[str]:
    """The lines for a cause; empty if there are none."""
    return read_advice().get(check, {}).get(cause, ())


def _line(defaults: Mapping[str, Mapping[str, str]], product: str, setting: str, say: str) -> str:
    default = defaults[product][setting]
    return f"{product}: {setting} (default {default}): {say}" if default else f"{product}: {setting}: {say}"
