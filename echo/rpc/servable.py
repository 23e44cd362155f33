"""The interface of a service, which is grpclib's."""

from collections.abc import Mapping
from typing import Protocol

from grpclib.const import Handler


class Servable(Protocol):
    """A service: a subclass of betterproto's ``ServiceBase`` or of grpclib's generated bases, or anything similar."""

    def __mapping__(self) -> Mapping[str, Handler]:
        """Its methods by path, ``/package.Service/Method``."""
