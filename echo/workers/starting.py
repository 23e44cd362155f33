"""Starts a worker's process."""

import os
import subprocess
from collections.abc import Sequence
from socket import socket

import trio

from echo.workers.parent_link import CHANNEL

__all__ = ["start_process"]


async def start_process(command: Sequence[str], channel: socket) -> trio.Process:
    """Start a process that inherits its end of a channel. It leads a process group: see `echo.workers.worker`.

    Raises:
        OSError: It cannot be started.
    """
    try:
        return await trio.lowlevel.open_process(
            command,
            stdin=subprocess.DEVNULL,
            pass_fds=[channel.fileno()],
            env={**os.environ, CHANNEL: str(channel.fileno())},
            process_group=0,
        )
    except RuntimeError as error:  # trio starts processes in a thread, and could not start that.
        raise OSError(str(error)) from error
