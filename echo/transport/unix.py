"""The path of a listening Unix socket: whose it is, and when it may be taken over (unix(7)).

Unlike a port, a path outlives the process that bound it, and nobody can bind it again until it is removed. So who finds
a socket there has to find out whether anybody still listens: connecting to it tells. Between that and binding, another
process could have come to the same conclusion; a lock on the folder keeps them apart, which the kernel takes off again
whatever becomes of who holds it. Some folders cannot be locked, because they may be written to but not read, or their
file system has no locks; there, of two processes that replace a dead socket at the same moment one may end up without a
path. A listener removes its own path, known by its inode, while it still listens, so that nobody can have taken it over
by then.
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

PATIENCE: Final = 5.0  # Seconds the lock is waited for; who heeds it holds it for no longer than a look and a bind.
RETRY_DELAY: Final = 0.01  # Seconds between attempts at it.

# What flock says where there are no locks. EBADF is NFS, which wants a descriptor open for writing.
_LOCKLESS: Final = frozenset({errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOTSUP, errno.ENOSYS, errno.EINVAL, errno.EBADF})


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
        """Bind a stream socket at the path and listen. Does not wait.

        Args:
            path: Where. A socket that is there already is replaced if nobody listens on it.
            mode: Permissions of the socket, or None for what the umask leaves.
            backlog: How many connections may wait to be accepted.

        Raises:
            FolderLockedError: Another process is binding a socket there, or has locked the folder for its own purposes.
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


async def bind_unix(path: str, mode: int | None, backlog: int) -> tuple[UnixPath, socket.socket]:
    """`UnixPath.bind`, waiting up to `PATIENCE` seconds for the folder's lock. Can be cancelled while it waits.

    Raises:
        OSError: As there.
    """
    deadline = anyio.current_time() + PATIENCE
    while True:
        try:
            # In a thread, as the disk may be slow. Not abandoned when cancelled: it might have bound the path.
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
    """Hold the folder's lock, if it can be locked; the lock is advisory. Never waits."""
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
