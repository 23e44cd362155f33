"""Advice: which setting of which product to look at, by check and cause. The data is in ``advice.toml``."""

import tomllib
from collections.abc import Mapping, Sequence
from functools import lru_cache
from importlib.resources import files
from typing import Final

PRODUCTS: Final = (
    *("nginx", "ingress-nginx", "Envoy", "Istio", "HAProxy", "Traefik", "AWS ALB", "AWS NLB", "GCP", "Cloudflare"),
)


@lru_cache
def read_advice() -> Mapping[str, Mapping[str, Sequence[str]]]:
    """All of it: by check and cause, the lines ``product: setting (default …): what to do``."""
    table = tomllib.loads(files("echo.probe").joinpath("advice.toml").read_text("utf-8"))
    return {
        check: {cause: [_line(entry) for entry in entries] for cause, entries in causes.items()}
        for check, causes in table.items()
    }


def advice_for(check: str, cause: str) -> Sequence[str]:
    """The lines for a cause; none if there is nothing to say."""
    return read_advice().get(check, {}).get(cause, ())


def _line(entry: Mapping[str, str]) -> str:
    default = f" (default {entry['default']})" if "default" in entry else ""
    return f"{entry['product']}: {entry['setting']}{default}: {entry['say']}"
