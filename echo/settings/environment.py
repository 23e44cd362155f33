"""Which variables of an environment are settings, and what else in it a person should hear about.

Kubernetes gives every container variables for each Service of its namespace. A Service named ``grpc-server`` makes it
set ``GRPC_SERVER_PORT=tcp://10.0.0.1:8081``, among half a dozen others, one named ``http`` ``HTTP_PORT``. Such a value
says where clients find the Service, not where a process in its pod should listen: the two ports may differ. So a
program that listens ignores it, and one that calls takes the port.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Final, Literal

__all__ = ["Note", "misspelt", "read"]

_LINK: Final = re.compile(r"(tcp|udp|sctp)://(?:\[[0-9a-f:.]+\]|[0-9.]+):([0-9]{1,5})", re.ASCII)
_LINK_NAMES: Final = re.compile(r".+_(?:SERVICE_HOST|SERVICE_PORT(?:_.+)?|PORT_[0-9]+_(?:TCP|UDP|SCTP)(?:_.+)?)")

_ALIKE: Final = 0.84  # Leaves alone every name of gRPC's other libraries, and proxies'; still finds a word left out.
_MOST_NOTES: Final = 10


@dataclass(frozen=True, slots=True)
class Note:
    """Something about the environment that does not keep a program from starting.

    Attributes:
        level: How serious it is, as for the log.
        text: One line.
    """

    level: Literal["info", "warning"]
    text: str


def read(
    environ: Mapping[str, str], fields: Iterable[str], called_port: str | None
) -> tuple[dict[str, str], list[Note]]:
    """The values that variables give to these fields. Blanks around them are cut; an empty variable is not set.

    Args:
        environ: The environment.
        fields: Attributes of `Settings`.
        called_port: The one among them that is the port of a Service to call, if any.
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
    """A warning for each variable that is no setting but looks like one; only the names are told, not the values."""
    variables = sorted(known)
    notes = []
    for name in sorted(environ.keys() - variables):
        if _LINK_NAMES.fullmatch(name) or _service_link(environ, name, environ[name]):
            continue
        if meant := get_close_matches(name.upper(), variables, n=1, cutoff=_ALIKE):
            notes.append(Note("warning", f"{name} is not a setting; did you mean {meant[0]}?"))
    return notes[:_MOST_NOTES]


def _service_link(environ: Mapping[str, str], variable: str, text: str) -> tuple[str, str, str] | None:
    """Service, protocol and port, if Kubernetes has set this variable: it then sets ``..._SERVICE_HOST``, too."""
    prefix, _, ending = variable.rpartition("_")
    match = _LINK.fullmatch(text)
    if match and ending == "PORT" and f"{prefix}_SERVICE_HOST" in environ:
        return prefix.lower().replace("_", "-"), match[1], match[2]
    return None
