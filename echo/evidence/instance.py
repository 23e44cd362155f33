"""Which process this is, and where it runs."""

import os
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

INSTANCE: Final = secrets.token_hex(8)
"""Tells this process from others that serve the same."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where the process runs, as Kubernetes tells it by the downward API; empty where it does not."""

    pod: str = ""
    namespace: str = ""
    node: str = ""
    service_name: str = ""
    ingress: str = ""

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] = os.environ) -> "Place":
        """As the environment says it."""
        names = ("POD_NAME", "NAMESPACE", "NODE_NAME", "SERVICE_NAME", "INGRESS_NAME")
        # A variable may hold any octets, which no protobuf string does.
        return cls(*(environ.get(name, "").encode(errors="replace").decode()[:256] for name in names))
