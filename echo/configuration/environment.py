"""Reads environment variables, with an eye on misspelt ones and on those set by Kubernetes.

Kubernetes sets variables in every container for each Service in its namespace. For a Service named ``grpc-server`` it
sets ``GRPC_SERVER_PORT=tcp://10.0.0.1:8081`` and half a dozen others; for one named ``http`` it sets ``HTTP_PORT``. The
value says where clients find the Service, not where a process in its pod should listen: the ports may differ. So a
program that listens ignores it, and a program that calls takes the port.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from difflib import get_close_matches
from itertools import islice
from typing import Final, Literal, NamedTuple

_LINK: Final = re.compile(r"(tcp|udp|sctp)://(?:\[[0-9a-f:.]+\]|[0-9.]+):([0-9]{1,5})", re.ASCII)
_LINK_NAMES: Final = re.compile(r".+_(?:SERVICE_HOST|SERVICE_PORT(?:_.+)?|PORT_[0-9]+_(?:TCP|UDP|SCTP)(?:_.+)?)")

_CALLED: Final = "GRPC_SERVER_PORT"
_SIMILARITY: Final = 0.84  # Matches a name with a missing word, but no variable of other gRPC libraries or proxies.
_MAX_NOTES: Final = 10


class Note(NamedTuple):
    """A remark about the environment, one line, that does not prevent the program from starting."""

    level: Literal["info", "warning"]
    text: str


def read_variables(
    environ: Mapping[str, str], variables: Iterable[str], *, calls: bool
) -> tuple[dict[str, str], tuple[Note, ...]]:
    """Read these variables. Whitespace is stripped; an empty variable counts as not set.

    A program that ``calls`` takes the port of the gRPC server's Service; other Services' ports are left out.
    """
    given = {name: text for name in variables if (text := environ.get(name, "").strip())}
    notes: list[Note] = []
    for name, text in list(given.items()):
        if (link := _service_link(environ, name, text)) is None:
            continue
        service, protocol, port = link
        origin = f"{name}={text} was set by Kubernetes for its Service {service}"
        if calls and name == _CALLED and protocol == "tcp":
            given[name] = port
            notes.append(Note("info", f"{origin}: calling port {port}"))
        else:
            del given[name]
            notes.append(Note("info", f"{origin}: ignored (enableServiceLinks: false keeps it out)"))
    return given, tuple(notes)


def misspelt(environ: Mapping[str, str], known: Iterable[str]) -> tuple[Note, ...]:
    """Warn of each variable whose name resembles a setting's; the warning has its name, not its value."""
    variables = sorted(known)

    def warnings() -> Iterator[Note]:
        for name in sorted(environ.keys() - variables):
            if not _LINK_NAMES.fullmatch(name) and not _service_link(environ, name, environ[name]):
                for meant in get_close_matches(name.upper(), variables, n=1, cutoff=_SIMILARITY):
                    yield Note("warning", f"{name} is not a setting; did you mean {meant}?")

    return tuple(islice(warnings(), _MAX_NOTES))


def _service_link(environ: Mapping[str, str], variable: str, text: str) -> tuple[str, str, str] | None:
    """Service, protocol and port if Kubernetes has set this variable: then ``..._SERVICE_HOST`` is set, too."""
    prefix, _, ending = variable.rpartition("_")
    match = _LINK.fullmatch(text)
    if match and ending == "PORT" and f"{prefix}_SERVICE_HOST" in environ:
        return prefix.lower().replace("_", "-"), match[1], match[2]
    return None
