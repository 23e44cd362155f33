"""Contains a fault in serving one connection, so that it ends only that connection.

Upstream: all connections of a worker run in one nursery, so any exception that a client provokes cancels every
connection and ends the process. Known causes: a byte after a WebSocket upgrade, DATA after an HTTP/2 response,
PRIORITY on a thousand idle streams, CONNECT without a path.
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

import trio

log = logging.getLogger(__name__)


@contextmanager
def contain_faults(others: trio.CancelScope | None = None) -> Iterator[None]:
    """Log an exception of the block in one line instead of raising it; cancellation passes through.

    Args:
        others: Is cancelled then.
    """
    try:
        yield
    except* Exception as faults:
        fault = repr(faults.exceptions[0])  # As text: a log record that is kept would keep the connection.
        log.warning("a connection was ended by a fault: %s", fault)
        log.debug("the fault:", exc_info=faults)
        if others is not None:
            others.cancel()
