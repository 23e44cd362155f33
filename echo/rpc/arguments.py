"""Checks of arguments whose mistakes would otherwise show later, in every connection or call."""

from grpclib.const import Cardinality
from grpclib.encoding.base import CodecBase

from echo.rpc.codec import DEFAULT_CODEC
from echo.transport import Keepalive
from echo.wire import Limits


def check_connections(limits: object, keepalive: object) -> None:
    """Check what a server or a channel makes its connections with.

    Raises:
        TypeError: One of them is something else, such as a number for the keepalive.
    """
    if not isinstance(limits, Limits):
        raise TypeError(f"limits must be a Limits, such as Limits(max_message_size=2**24), not {limits!r}")
    if keepalive is not None and not isinstance(keepalive, Keepalive):
        raise TypeError(f"keepalive must be a Keepalive, such as Keepalive(time=30), not {keepalive!r}")


def checked_codec(codec: CodecBase | None) -> CodecBase:
    """The codec to use; the default one for None.

    Raises:
        TypeError: It is a class.
    """
    if isinstance(codec, type):
        raise TypeError(f"{codec.__name__} is a class: give an instance of it, such as {codec.__name__}()")
    return codec or DEFAULT_CODEC


def check_method(name: str, cardinality: object) -> None:
    """Check what a call names.

    Raises:
        ValueError: The name does not begin with a slash.
        TypeError: The cardinality is none.
    """
    if not name.startswith("/"):
        raise ValueError(f"a method is named '/package.Service/Method', not {name!r}")
    if not isinstance(cardinality, Cardinality):
        raise TypeError(f"cardinality must be a Cardinality, such as Cardinality.UNARY_UNARY, not {cardinality!r}")
