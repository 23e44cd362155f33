"""Uploads a file in pieces while its progress comes back: ``python -m examples.upload FILE``.

Without a FILE it uploads itself. It also serves, on a free port, so that there is a server to upload to.
"""

import hashlib
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import anyio
from anyio.abc import SocketAttribute

from echo.rpc import Server, bind, open_channel, open_tcp_listener
from examples.pb.files.v1 import FilesBase, FilesStub, Piece, Progress

PIECE = 64 * 1024


class Files(FilesBase):
    """Accepts files, and returns their checksums."""

    async def upload(self, piece_iterator: AsyncIterator[Piece]) -> AsyncIterator[Progress]:
        """Reply to every piece. If a client does not read the replies, reading from it stops too: nothing piles up."""
        received, checksum = 0, hashlib.sha256()
        async for piece in piece_iterator:
            received += len(piece.data)
            checksum.update(piece.data)
            yield Progress(received)
        yield Progress(received, checksum.hexdigest())


async def pieces(path: Path) -> AsyncIterator[Piece]:
    """The file in pieces; the next one is read when the server has room for it."""
    async with await anyio.open_file(path, "rb") as file:
        while data := await file.read(PIECE):
            yield Piece(path.name, data)


async def upload(path: Path, port: int) -> str:
    """Send a file, and return the checksum that the server computed."""
    total = (await anyio.Path(path).stat()).st_size
    checksum = ""
    async with open_channel("127.0.0.1", port) as channel, bind(FilesStub, channel) as stub:
        async for progress in stub.upload(pieces(path)):
            print(f"\r{progress.bytes} of {total} bytes", end="")
            checksum = progress.sha256
    print(f"\nsha256 {checksum}")
    return checksum


async def main(path: Path) -> str:
    """Serve, and send one file."""
    listener = await open_tcp_listener("127.0.0.1", 0)
    checksum = ""
    async with anyio.create_task_group() as tasks:
        await tasks.start(Server([Files()]).serve, listener)
        checksum = await upload(path, listener.extra(SocketAttribute.local_port))
        tasks.cancel_scope.cancel()
    return checksum


if __name__ == "__main__":
    anyio.run(main, Path(sys.argv[1] if sys.argv[1:] else __file__), backend="trio")
