"""Restores pytest's logging after a test that configures logging."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

import structlog


@contextmanager
def logging_restored() -> Iterator[None]:
    """Undo what `echo.logs.configure_logging` does in the block."""
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    levels = {name: logging.getLogger(name).level for name in ("hpack", "h2", "hypercorn.access")}
    try:
        yield
    finally:
        root.handlers = handlers
        root.setLevel(level)
        for name, earlier in levels.items():
            logging.getLogger(name).setLevel(earlier)
        logging.captureWarnings(capture=False)
        structlog.reset_defaults()
