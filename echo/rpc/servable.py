"""What can be served: grpclib's contract for a service."""

from collections.abc import Mapping
from typing import Protocol

from grpclib.const import Handler


class Servable(Protocol):
    """A service: betterproto's ``ServiceBase`` subclasses, grpclib's generated bases, anything alike."""

    def __mapping__(self) -> Mapping[str, Handler]:
        """Its methods by path, ``/package.Service/Method``."""
