"""betterproto's messages at protobuf's speed, for the classes that allow it.

betterproto's dataclasses are what services and callers build and read. But they interpret their field descriptions anew
for every message: building, encoding and decoding one of five fields takes 26, 42 and 95 microseconds where protobuf's
own C library (upb) needs one. So for a class of plain fields, `specialise` makes an equivalent upb class (`upb.py`),
which does the wire format, and functions that move the values across: `betterproto.py` for betterproto 2.0,
`betterproto2.py` for its successor.

Only a class as the compiler wrote it is specialised (`generated.py`). A subclass, a class with an ``__init__`` or
``__post_init__`` of its own and a pydantic dataclass are encoded and decoded by their own methods, before and after
their base class was specialised. What is decoded equals what betterproto decodes from anything that a protobuf encoder
writes. Of other bytes, betterproto accepts some and makes garbage of them; upb refuses them.

betterproto is not imported here: a message class brings all that is needed.
"""

from functools import cache

from echo.rpc.specialise import betterproto, betterproto2
from echo.rpc.specialise.generated import package_of
from echo.rpc.specialise.upb import Field, Specialised, upb_class

__all__ = ["Field", "Specialised", "specialise", "upb_class"]

_MAKERS = {"betterproto": betterproto.specialise, "betterproto2": betterproto2.specialise}


@cache
def specialise(message_type: type) -> Specialised | None:
    """How to encode and decode messages of a class; None if it has to do that itself.

    Changes a class of betterproto 2.0: its ``__init__`` and ``__getattribute__`` do the same as before, faster.
    """
    make = _MAKERS.get(package_of(message_type) or "")
    return None if make is None else make(message_type)
