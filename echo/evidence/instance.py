"""The identity of this process, and where it runs."""

import os
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

INSTANCE: Final = secrets.token_hex(8)
"""Distinguishes this process from others that serve the same services."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where the process runs, from Kubernetes' downward API; fields are empty where it is not set up."""

    pod: str = ""
    namespace: str = ""
    node: str = ""
    service_name: str = ""
    ingress: str = ""

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] = os.environ) -> "Place":
        """Read it from environment variables."""
        names = ("POD_NAME", "NAMESPACE", "NODE_NAME", "SERVICE_NAME", "INGRESS_NAME")
        # A variable may hold any bytes, a protobuf string only valid UTF-8.
        return cls(*(environ.get(name, "").encode(errors="replace").decode()[:256] for name in names))
