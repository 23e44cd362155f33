"""Reads settings from environment variables, and notes misspelt ones and those set by Kubernetes.

Kubernetes sets variables in every container for each Service in its namespace. For a Service named ``grpc-server`` it
sets ``GRPC_SERVER_PORT=tcp://10.0.0.1:8081`` and half a dozen others; for one named ``http`` it sets ``HTTP_PORT``. The
value says where clients find the Service, not where a process in its pod should listen: the ports may differ. So a
program that listens ignores it, and a program that calls takes the port.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Final, Literal

__all__ = ["Note", "misspelt", "read"]

_LINK: Final = re.compile(r"(tcp|udp|sctp)://(?:\[[0-9a-f:.]+\]|[0-9.]+):([0-9]{1,5})", re.ASCII)
_LINK_NAMES: Final = re.compile(r".+_(?:SERVICE_HOST|SERVICE_PORT(?:_.+)?|PORT_[0-9]+_(?:TCP|UDP|SCTP)(?:_.+)?)")

_SIMILARITY: Final = 0.84  # Matches a name with a missing word, but no variable of other gRPC libraries or proxies.
_MAX_NOTES: Final = 10


@dataclass(frozen=True, slots=True)
class Note:
    """A remark about the environment that does not prevent the program from starting.

    Attributes:
        level: The log level.
        text: The remark, one line.
    """

    level: Literal["info", "warning"]
    text: str


def read(
    environ: Mapping[str, str], fields: Iterable[str], called_port: str | None
) -> tuple[dict[str, str], list[Note]]:
    """Read these fields' variables. Whitespace is stripped; an empty variable counts as not set.

    Args:
        environ: The environment.
        fields: Attributes of `Settings`.
        called_port: The field that holds the port of a Service to call, or None.
    """
    given: dict[str, str] = {}
    notes: list[Note] = []
    for field in fields:
        variable = field.upper()
        text = environ.get(variable, "").strip()
        link = _service_link(environ, variable, text)
        if link is None:
            if text:
                given[field] = text
            continue
        service, scheme, port = link
        origin = f"{variable}={text} was set by Kubernetes for its Service {service}"
        if field == called_port and scheme == "tcp":
            given[field] = port
            notes.append(Note("info", f"{origin}: calling port {port}"))
        else:
            notes.append(Note("info", f"{origin}: ignored (enableServiceLinks: false keeps it out)"))
    return given, notes


def misspelt(environ: Mapping[str, str], known: Iterable[str]) -> list[Note]:
    """Warn of each variable that resembles a setting but is none; the warning has its name, not its value."""
    variables = sorted(known)
    notes = []
    for name in sorted(environ.keys() - variables):
        if _LINK_NAMES.fullmatch(name) or _service_link(environ, name, environ[name]):
            continue
        if meant := get_close_matches(name.upper(), variables, n=1, cutoff=_SIMILARITY):
            notes.append(Note("warning", f"{name} is not a setting; did you mean {meant[0]}?"))
    return notes[:_MAX_NOTES]


def _service_link(environ: Mapping[str, str], variable: str, text: str) -> tuple[str, str, str] | None:
    """Service, protocol and port if Kubernetes has set this variable: then ``..._SERVICE_HOST`` is set, too."""
    prefix, _, ending = variable.rpartition("_")
    match = _LINK.fullmatch(text)
    if match and ending == "PORT" and f"{prefix}_SERVICE_HOST" in environ:
        return prefix.lower().replace("_", "-"), match[1], match[2]
    return None
