"""Connects a blocking socket to the first of a host's addresses that answers.

An address that swallows packets must not use up the time in which another would answer. So the next one is tried soon
after it, and whichever answers first is taken (RFC 8305 §5, "Happy Eyeballs").
"""

import os
import selectors
import socket
from collections import deque
from collections.abc import Iterable
from contextlib import suppress
from time import monotonic
from typing import Final, cast

from echo.targets import Target

__all__ = ["connect", "left_until"]

ATTEMPT_DELAY: Final = 0.25  # Seconds until the next address is tried; less if all would take over half of the time.

_LONGEST_WAIT: Final = 3600.0  # Seconds; selectors take no more than some weeks.

_Address = tuple[socket.AddressFamily, object]  # A family, and an address as `socket.getaddrinfo` returns it.


def connect(target: Target, deadline: float) -> socket.socket:
    """Connect before the deadline, by `time.monotonic`. The time of a name's lookup is not bounded.

    Raises:
        TimeoutError: Nothing has answered in time.
        OSError: Could not connect.
    """
    if target.port is None:
        return _connect_unix(target.host, deadline)
    found = socket.getaddrinfo(target.host, target.port, type=socket.SOCK_STREAM)
    connected = _connect_first([(family, address) for family, _, _, _, address in found], deadline)
    with suppress(OSError):
        connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connected


def left_until(deadline: float) -> float:
    """Seconds until the deadline.

    Raises:
        TimeoutError: It has passed.
    """
    left = deadline - monotonic()
    if left <= 0:
        raise TimeoutError
    return left


def _connect_unix(path: str, deadline: float) -> socket.socket:
    opened = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        opened.settimeout(left_until(deadline))
        opened.connect(path)
    except BaseException:
        opened.close()
        raise
    return opened


def _connect_first(addresses: Iterable[_Address], deadline: float) -> socket.socket:
    """Try the addresses in turn, each soon after the one before it; the last failure is raised if all fail."""
    untried = deque(addresses)
    delay = min(ATTEMPT_DELAY, left_until(deadline) / 2 / max(len(untried), 1))
    failed, next_attempt = OSError("the name has no address"), 0.0
    with selectors.DefaultSelector() as attempts:
        try:
            while untried or attempts.get_map():
                left, until_next = left_until(deadline), next_attempt - monotonic()
                if untried and (until_next <= 0 or not attempts.get_map()):
                    next_attempt = monotonic() + delay
                    try:
                        attempts.register(_attempt(*untried.popleft()), selectors.EVENT_WRITE)
                    except OSError as error:
                        failed = error
                    continue
                for key, _ in attempts.select(min(left, until_next if untried else _LONGEST_WAIT)):
                    attempt = cast("socket.socket", key.fileobj)
                    attempts.unregister(attempt)
                    if not (number := attempt.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)):
                        return attempt
                    attempt.close()
                    failed, next_attempt = OSError(number, os.strerror(number)), 0.0
        finally:
            for key in attempts.get_map().values():
                cast("socket.socket", key.fileobj).close()
    raise failed


def _attempt(family: socket.AddressFamily, address: object) -> socket.socket:
    """Begin to connect. The socket becomes writable once that has succeeded or failed."""
    opened = socket.socket(family, socket.SOCK_STREAM)
    try:
        opened.setblocking(False)
        with suppress(BlockingIOError):
            opened.connect(address)  # type: ignore[arg-type] # In the form that `getaddrinfo` returned.
    except BaseException:
        opened.close()
        raise
    return opened
