"""A worker for tests of its parent: ``python -m tests.support.worker FOLDER LISTENERS``.

It greets each connection with its process id and echoes what it receives, until the client ends. ``leave`` has it ask
for its replacement. Its drain has no time limit. Files in the folder, read at the start, change what it does: ``start``
has ``exit N``, ``hang``, ``babble`` or ``outlast``, by which it ends at the second signal, as programs do, and says so
in a file ``ended``; ``answer`` has the size of its answers in bytes.
"""

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import trio

from echo.transport import AcceptedConnection
from echo.workers import ParentLink


def read_words(folder: Path, name: str) -> list[str]:
    path = folder / name
    return path.read_text().split() if path.exists() else []


async def serve(accepted: AcceptedConnection, leave: Callable[[], None]) -> None:
    try:
        async with trio.SocketStream(trio.socket.from_stdlib_socket(accepted.socket)) as stream:
            try:
                await stream.send_all(b"%d\n" % os.getpid())
                async for data in stream:
                    if data == b"leave":
                        leave()
                    await stream.send_all(data)
            except trio.BrokenResourceError:
                pass
    finally:
        accepted.on_close()


async def end_at_second_signal(folder: Path, *, task_status: trio.TaskStatus[None]) -> None:
    with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
        task_status.started()
        received = [await anext(signals), await anext(signals)]
    (folder / "ended").write_text(" ".join(sorted(signal.Signals(number).name for number in received)))
    os._exit(0)


async def main(folder: Path, listeners: int) -> None:
    end = ParentLink.inherited()
    assert end is not None
    match read_words(folder, "start"):
        case ["exit", status]:
            sys.exit(int(status))
        case ["hang"]:
            await trio.sleep_forever()
        case ["babble"]:
            end.send(b"hello")
            await trio.sleep_forever()
    size = read_words(folder, "answer")
    answer = b"x" * int(size[0]) if size else b"%d" % os.getpid()

    async def collect() -> bytes:
        return answer

    parent = ParentLink(end, listeners, collect)
    async with trio.open_nursery() as nursery:
        if read_words(folder, "start") == ["outlast"]:
            await nursery.start(end_at_second_signal, folder)
        nursery.start_soon(parent.run)
        async with trio.open_nursery() as serving:
            for feed in parent.feeds:

                async def take(feed: object = feed) -> None:
                    async for accepted in feed:  # type: ignore[attr-defined]
                        serving.start_soon(serve, accepted, parent.request_stop)

                serving.start_soon(take)
            parent.ready()
            await parent.wait_for_stop()
            for feed in parent.feeds:
                feed.retire()
        await parent.send_final_answer()
        nursery.cancel_scope.cancel()


if __name__ == "__main__":
    trio.run(main, Path(sys.argv[1]), int(sys.argv[2]))
