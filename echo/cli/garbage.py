"""How often the programs collect garbage."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

YOUNGER_COLLECTIONS: Final = 1000
"""How many collections of younger objects come before a full one; on Python 3.11 each means 7,000 new objects."""


@contextmanager
def rare_full_collections() -> Iterator[None]:
    """Make full garbage collections a hundred times rarer while the block runs; younger objects are collected as usual.

    A full collection stops the program while it visits all objects, 250 for each open WebSocket: with 5,000 of them,
    half a second. By default there is one whenever the objects have grown by a quarter, so while thousands of clients
    connect, a third of the time went into them. They find little, since what ends is freed without them.
    """
    young, middle, full = gc.get_threshold()
    gc.set_threshold(young, middle, YOUNGER_COLLECTIONS)
    try:
        yield
    finally:
        gc.set_threshold(young, middle, full)
