"""The interface of a service, which is grpclib's, and the names of services."""

from collections.abc import Iterable, Mapping
from typing import Protocol

from grpclib.const import Handler


class Servable(Protocol):
    """A service: a subclass of betterproto's ``ServiceBase`` or of grpclib's generated bases, or anything similar."""

    def __mapping__(self) -> Mapping[str, Handler]:
        """Its methods by path, ``/package.Service/Method``."""


def names_of(services: Iterable[Servable | str]) -> list[str]:
    """The names of services, ``package.Service``, in their order; each once.

    Args:
        services: Services, or the names of those that were registered by code generated for grpcio.
    """
    names: dict[str, None] = {}
    for service in services:
        if isinstance(service, str):
            names[service] = None
        else:
            names |= dict.fromkeys(path.split("/")[1] for path in service.__mapping__())
    return list(names)
