"""Plain TCP: a reserved port, a server that treats its only client as a test wants, and bytes cut as by a network."""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import pairwise

PATIENCE = 20.0  # The longest wait in seconds; no wait should come near it.


def pieces(data: bytes, cuts: list[int]) -> list[bytes]:
    """The data cut into pieces at these positions, modulo its length."""
    marks = sorted({0, len(data), *(cut % (len(data) + 1) for cut in cuts)})
    return [data[start:stop] for start, stop in pairwise(marks)]


@contextmanager
def reserved_port() -> Iterator[int]:
    """A port at which connections are refused until a server of the block listens there.

    A port that was bound and released may be given to another process at once. This one stays bound, without listening,
    and a server may have it that sets SO_REUSEADDR, as all of ours and the proxies do.
    """
    with socket.socket() as reserved:
        reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        reserved.bind(("127.0.0.1", 0))
        yield reserved.getsockname()[1]


@contextmanager
def tcp_server(behave: Callable[[socket.socket], None]) -> Iterator[int]:
    """A server for one connection, in a thread, which runs the test's function."""

    def run() -> None:
        with listening.accept()[0] as accepted:
            accepted.settimeout(PATIENCE)
            behave(accepted)

    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=run)
        thread.start()
        yield listening.getsockname()[1]
        thread.join(PATIENCE)
