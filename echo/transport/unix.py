"""The path of a listening Unix socket: whose it is, and when it may be taken over (unix(7)).

Unlike a port, a path outlives the process that bound it, and nobody can bind it again until it is removed. So who finds
a socket there has to find out whether anybody still listens: connecting to it tells. Between that and binding, another
process could have come to the same conclusion; a lock on the folder keeps them apart, which the kernel takes off again
whatever becomes of who holds it. A listener removes its own path, known by its inode, while it still listens, so that
nobody can have taken it over by then.
"""

import errno
import fcntl
import os
import socket
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Final

PATIENCE: Final = 5.0  # Seconds the lock is waited for; who heeds it holds it for no longer than a look and a bind.


@dataclass(frozen=True, slots=True)
class UnixPath:
    """A path where a socket of ours is bound.

    Attributes:
        path: The path.
        inode: What the socket's file is known by: its device and number.
    """

    path: str
    inode: tuple[int, int]

    @classmethod
    def bind(cls, path: str, mode: int | None, backlog: int) -> tuple["UnixPath", socket.socket]:
        """Bind a stream socket at the path and listen; waits while another process does the same in the folder.

        Args:
            path: Where. A socket that is there already is replaced if nobody listens on it.
            mode: Permissions of the socket, or None for what the umask leaves.
            backlog: How many connections may wait to be accepted.

        Raises:
            OSError: EADDRINUSE if somebody listens there, EEXIST if something other than a socket is there, others if
                the path cannot be had at all.
        """
        listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            with _locked(os.path.dirname(path) or "."):  # noqa: PTH120 - pathlib would tidy the path.
                _make_room(path)
                listening.bind(path)
                found = os.lstat(path)
                bound = cls(path, (found.st_dev, found.st_ino))
                try:
                    if mode is not None:
                        os.chmod(path, mode)  # noqa: PTH101 - As above. Nobody can connect before `listen`.
                    listening.listen(backlog)
                except BaseException:
                    bound.remove()
                    raise
            listening.setblocking(False)
        except BaseException:
            listening.close()
            raise
        return bound, listening

    def remove(self) -> None:
        """Remove the socket, if it is still the one that was bound. To be called while it still listens."""
        with suppress(FileNotFoundError, NotADirectoryError):
            found = os.lstat(self.path)
            if (found.st_dev, found.st_ino) == self.inode:
                os.unlink(self.path)  # noqa: PTH108 - As above.


@contextmanager
def _locked(folder: str) -> Iterator[None]:
    """Hold the folder's lock, which only those heed who ask for it. Raises BlockingIOError if it can't be had."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    deadline = time.monotonic() + PATIENCE
    try:
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.01)
        yield
    finally:
        os.close(descriptor)


def _make_room(path: str) -> None:
    """Remove a socket that nobody listens on; raise OSError if anything else is there."""
    try:
        found = os.lstat(path)
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(found.st_mode):
        raise FileExistsError(errno.EEXIST, "Something that is no socket is in its place", path)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)  # Else it would wait for room among the connections to be accepted.
        try:
            probe.connect(path)
        except ConnectionRefusedError:
            os.unlink(path)  # noqa: PTH108 - As above.
            return
        except FileNotFoundError:
            return
        except BlockingIOError:
            pass  # Somebody listens who is very busy.
        except OSError as error:
            if error.errno != errno.EPROTOTYPE:  # A socket of another type is in use, or has been.
                raise
    raise OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE), path)
