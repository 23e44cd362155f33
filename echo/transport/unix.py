"""The path of a listening Unix socket: binding, replacing a dead socket, and removing it (unix(7)).

Unlike a port, a path outlives the process that bound it, and it cannot be bound again until it is removed. So a process
that finds a socket at the path connects to it to find out whether anybody still listens. Another process could do the
same at the same time, so both first take a lock on the folder; the kernel releases it when its holder ends. Some
folders cannot be locked, because they are not readable or their file system has no locks. There, if two processes
replace a dead socket at the same moment, one may end up without a path. A listener removes its own path, recognised by
its inode, while it still listens, so nobody can have replaced it by then.
"""

import errno
import fcntl
import os
import socket
import stat
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from typing import Final

import anyio
import anyio.to_thread

PATIENCE: Final = 5.0  # Seconds to wait for the lock; a process that binds a socket holds it only for a moment.
RETRY_DELAY: Final = 0.01  # Seconds between attempts to take it.

# Errors of flock where there are no locks. EBADF comes from NFS, which requires a descriptor open for writing.
_LOCKLESS: Final = frozenset({errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOTSUP, errno.ENOSYS, errno.EINVAL, errno.EBADF})


@dataclass(frozen=True, slots=True)
class UnixPath:
    """A path where our socket is bound.

    Attributes:
        path: The path.
        inode: The device and inode number of the socket's file.
    """

    path: str
    inode: tuple[int, int]

    @classmethod
    def bind(cls, path: str, mode: int | None, backlog: int) -> tuple["UnixPath", socket.socket]:
        """Bind a stream socket at the path and listen. Does not wait.

        Args:
            path: The path. An existing socket is replaced if nobody listens on it.
            mode: The socket's permissions; None to let the umask decide.
            backlog: How many connections may wait to be accepted.

        Raises:
            FolderLockedError: Another process is binding a socket there, or has locked the folder for its own purposes.
            OSError: EADDRINUSE if somebody listens there, EEXIST if the path is something other than a socket, others
                if it cannot be bound at all.
        """
        with ExitStack() as undo:
            listening = undo.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM))
            with _locked(os.path.dirname(path) or "."):  # noqa: PTH120 - pathlib would tidy the path.
                _remove_dead_socket(path)
                listening.bind(path)
                found = os.lstat(path)
                bound = cls(path, (found.st_dev, found.st_ino))
                undo.callback(bound.remove)
                if mode is not None:
                    os.chmod(path, mode)  # noqa: PTH101 - As above. Nobody can connect before `listen`.
                listening.listen(backlog)
            listening.setblocking(False)
            undo.pop_all()
        return bound, listening

    def remove(self) -> None:
        """Remove the socket if it is still ours. Call this while it still listens."""
        with suppress(FileNotFoundError, NotADirectoryError):
            found = os.lstat(self.path)
            if (found.st_dev, found.st_ino) == self.inode:
                os.unlink(self.path)  # noqa: PTH108 - As above.


async def bind_unix(path: str, mode: int | None, backlog: int) -> tuple[UnixPath, socket.socket]:
    """Call `UnixPath.bind`, waiting up to `PATIENCE` seconds for the folder's lock. The wait can be cancelled.

    Raises:
        OSError: See `UnixPath.bind`.
    """
    deadline = anyio.current_time() + PATIENCE
    while True:
        try:
            # In a thread, as the disk may be slow. It is not abandoned when cancelled, as it may have bound the path.
            return await anyio.to_thread.run_sync(UnixPath.bind, path, mode, backlog)
        except FolderLockedError:
            if anyio.current_time() > deadline:
                raise
        await anyio.sleep(RETRY_DELAY)


class FolderLockedError(BlockingIOError):
    """Another program holds the lock of the folder."""

    def __init__(self, folder: str) -> None:
        super().__init__(errno.EAGAIN, "Another program keeps the folder locked (flock)", folder)


@contextmanager
def _locked(folder: str) -> Iterator[None]:
    """Hold the folder's advisory lock, if the folder can be locked. Never waits."""
    with ExitStack() as held:
        with suppress(PermissionError):  # Binding needs write permission, locking needs read permission.
            descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            held.callback(os.close, descriptor)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise FolderLockedError(folder) from None
            except OSError as error:
                if error.errno not in _LOCKLESS:
                    raise
        yield


def _remove_dead_socket(path: str) -> None:
    """Remove a socket that nobody listens on; raise OSError if the path is anything else."""
    try:
        found = os.lstat(path)
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(found.st_mode):
        raise FileExistsError(errno.EEXIST, "The path exists and is not a socket", path)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)  # Otherwise it would wait while the listener's backlog is full.
        try:
            probe.connect(path)
        except ConnectionRefusedError:
            os.unlink(path)  # noqa: PTH108 - As above.
            return
        except FileNotFoundError:
            return
        except BlockingIOError:
            pass  # Somebody listens, and the backlog is full.
        except OSError as error:
            if error.errno != errno.EPROTOTYPE:  # A socket of another type, which may be in use.
                raise
    raise OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE), path)
