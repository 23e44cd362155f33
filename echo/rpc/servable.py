"""The interface of a service, which is grpclib's, and the names of services."""

from collections.abc import Callable, Iterable, Mapping
from typing import Protocol, TypeAlias, TypeVar

from grpclib.const import Handler

from echo.wire import Request

FindHandler: TypeAlias = Callable[[Request], Handler | None]
"""Finds the handler for a call of a method that no service has; None if there is none. May raise any `Exception`."""


class Servable(Protocol):
    """A service: a subclass of betterproto's ``ServiceBase`` or of grpclib's generated bases, or anything similar."""

    def __mapping__(self) -> Mapping[str, Handler]:
        """Its methods by path, ``/package.Service/Method``."""


ServableT = TypeVar("ServableT")


def listed(services: Iterable[ServableT]) -> Iterable[ServableT]:
    """The services as given.

    Raises:
        TypeError: It is one service, or the name of one, which would be taken for a list of letters.
    """
    if isinstance(services, str) or hasattr(services, "__mapping__"):
        raise TypeError(f"services are given as a list: [{services!r}]")
    return services


def methods_of(service: Servable) -> Mapping[str, Handler]:
    """A service's methods by path.

    Raises:
        TypeError: It is a class, or something that is no service.
    """
    if isinstance(service, type):
        raise TypeError(f"{service.__name__} is a class: serve an instance of it, such as {service.__name__}()")
    if not hasattr(service, "__mapping__"):
        raise TypeError(
            f"{type(service).__name__} is not a service, as it has no __mapping__; a servicer made for grpcio is "
            "registered by add_...Servicer_to_server(servicer, server), and named by its name"
        )
    return service.__mapping__()


def names_of(services: Iterable[Servable | str]) -> list[str]:
    """The names of services, ``package.Service``, in their order; each once.

    Args:
        services: Services, or the names of those that were registered by code generated for grpcio.

    Raises:
        TypeError: One is neither, or they are not in a list.
    """
    names: dict[str, None] = {}
    for service in listed(services):
        if isinstance(service, str):
            names[service] = None
        else:
            names |= dict.fromkeys(path.split("/")[1] for path in methods_of(service))
    return list(names)
