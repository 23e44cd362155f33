"""All that a run of the benchmark found, and its form as JSON."""

import json
import os
import platform
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Final

from tests.bench.figures import Figures, Sample
from tests.bench.memory import Growth

OURS: Final = "echo"

PACKAGES: Final = (
    "trio",
    "anyio",
    "h2",
    "jh2",
    "hypercorn",
    "grpcio",
    "grpclib",
    "betterproto",
    "protobuf",
    "starlette",
    "uvicorn",
    "uvloop",
    "websockets",
)


def environment(packages: Iterable[str] = PACKAGES) -> str:
    """What the figures were measured on."""
    versions = ", ".join(filter(None, map(_version, packages)))
    return f"Python {platform.python_version()}, {os.cpu_count()} cores; {versions}"


def _version(package: str) -> str:
    """The package with its version; nothing when it is not there, since some are optional."""
    try:
        return f"{package} {version(package)}"
    except PackageNotFoundError:
        return ""


@dataclass
class Results:
    """The parts that were run; the others are empty.

    Attributes:
        servers: What servers cost under load.
        clients: What clients cost.
        gateways: What gateways cost under load.
        telemetry: What our server costs without and with it.
        growth: What our server costs, by the number of open streams instead of by peer.
        memory: Bytes for each thing that is held and idle.
        environment: Of the machine and the packages.
        others: Cores that programs besides the benchmark kept busy meanwhile, on average.
    """

    servers: Figures = field(default_factory=dict)
    clients: Figures = field(default_factory=dict)
    gateways: Figures = field(default_factory=dict)
    telemetry: Figures = field(default_factory=dict)
    growth: Figures = field(default_factory=dict)
    memory: Growth = field(default_factory=dict)
    environment: str = field(default_factory=environment)
    others: float = 0.0

    def dump(self) -> str:
        return json.dumps(asdict(self), indent=1)

    @classmethod
    def load(cls, text: str) -> "Results":
        """The reverse of `dump`."""
        fields: dict[str, Any] = json.loads(text)
        for part in ("servers", "clients", "gateways", "telemetry", "growth"):
            fields[part] = {
                what: {name: [Sample(**sample) for sample in samples] for name, samples in by_peer.items()}
                for what, by_peer in fields.get(part, {}).items()
            }
        return cls(**fields)
