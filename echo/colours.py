"""Whether to write in colours: to terminals, unless their user wants none (https://no-color.org) or they have none."""

import os
from typing import TextIO

__all__ = ["takes_colours"]


def takes_colours(stream: TextIO) -> bool:
    """Whether colours are wanted on this stream."""
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
