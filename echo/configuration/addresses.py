"""How people write ports, hosts, servers, files and origins. Nothing is resolved or opened.

As in `echo.configuration.values`, errors complete a sentence beginning with the text.
"""

import re
from pathlib import Path
from typing import Final

from echo.configuration.values import Kind, kind, quoted
from echo.targets import FORMS, MOST_TARGETS, UNIX, TargetError, read_targets, split, unix_path
from echo.urls import is_host, origin_of


def _port(text: str) -> int:
    if re.fullmatch(r"[0-9]{1,5}", text) and int(text) <= 65535:
        return int(text)
    # The form that `echo.configuration.environment` recognises, but without the companion variables.
    hint = ". Kubernetes sets such values for a Service of this name: turn that off by enableServiceLinks: false"
    raise ValueError(f"is not a port (0 to 65535){hint if re.match(r'(?:tcp|udp|sctp)://', text) else ''}")


def _bind(text: str) -> str:
    if text.startswith(UNIX):
        return UNIX + unix_path(text)
    if is_host(text):
        return text
    raise ValueError("is not a host name, an IP address or unix:PATH")


def _servers(text: str) -> str:
    try:
        targets = read_targets(text)
        for target in targets:
            if target.port is not None and not is_host(target.host):
                raise TargetError(target.host, f"is not {FORMS}")
    except TargetError as error:
        raise ValueError(error.why if "," not in text else f"holds {quoted(error.text)}, which {error.why}") from None
    if len(targets) > MOST_TARGETS:
        raise ValueError(f"lists too many servers (at most {MOST_TARGETS})")
    return ",".join(map(str, targets))


def _authority(text: str) -> str | None:
    try:
        return text if is_host(split(text)[0]) else None
    except ValueError:
        return None


def _origins(text: str) -> tuple[str, ...]:
    origins: dict[str, None] = {}
    for part in filter(None, map(str.strip, text.split(","))):
        origin = part.lower() if part.lower() in {"*", "null"} else origin_of(part)
        if origin is None:
            raise ValueError(
                f"holds {quoted(part)}, which is not an origin (such as https://example.com, or * for any)"
            )
        origins[origin] = None
    return tuple(origins)


PORT: Final = Kind(_port)  # 0 asks the operating system for a free one.
HOST: Final = kind(lambda text: text if is_host(text) else None, "is not a host name or an IP address")
BIND: Final = Kind(_bind)  # The same, or ``unix:PATH``.
SERVERS: Final = Kind(_servers)  # Targets as in `echo.targets`, in their shortest forms, with commas between them.
AUTHORITY: Final = kind(_authority, "is not HOST or HOST:PORT")
FILE: Final = kind(lambda text: Path(text) if text and "\0" not in text else None, "is not the path of a file")
ORIGINS: Final[Kind[tuple[str, ...]]] = Kind(_origins, ",".join)  # As browsers send them, ``*`` or ``null``.
