"""A chat room: ``python -m examples.chat`` serves it on port 50052.

It reads and writes at the same time, which a generated base class cannot express: its methods are async generators, and
a nursery must not be open across a ``yield``. So the method takes the stream itself, and a nursery holds its two tasks:
whichever ends first ends the call.
"""

from collections import defaultdict
from collections.abc import Mapping

import anyio
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream
from grpclib.const import Handler

from echo.rpc import Cardinality, GRPCError, Server, ServerStream, Status, open_tcp_listener
from examples.pb.chat.v1 import Line

BACKLOG = 100  # Lines that may wait for a member. A member that falls further behind is removed.

Member = MemoryObjectSendStream[Line]


class Chat:
    """The rooms, each a set of its members' queues."""

    def __init__(self) -> None:
        self._rooms: defaultdict[str, set[Member]] = defaultdict(set)

    def __mapping__(self) -> Mapping[str, Handler]:
        return {"/chat.v1.Chat/Join": Handler(self.join, Cardinality.STREAM_STREAM, Line, Line)}

    async def join(self, stream: ServerStream[Line, Line]) -> None:
        """Join the room that the first line names, until the client half-closes or leaves."""
        line = await stream.recv_message()
        if line is None or not line.room:
            raise GRPCError(Status.INVALID_ARGUMENT, "the first line must name a room")
        room = self._rooms[line.room]
        member, heard = anyio.create_memory_object_stream[Line](BACKLOG)
        room.add(member)
        try:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._forward, heard, stream)
                self._say(room, line)
                async for line in stream:
                    self._say(room, line)
                tasks.cancel_scope.cancel()
        finally:
            room.discard(member)
            member.close()

    async def _forward(self, heard: MemoryObjectReceiveStream[Line], stream: ServerStream[Line, Line]) -> None:
        """Send the room's lines to the client; only this task waits for a client that reads slowly."""
        async with heard:
            async for line in heard:
                await stream.send_message(line)
        raise GRPCError(Status.RESOURCE_EXHAUSTED, "you read too slowly")

    def _say(self, room: set[Member], line: Line) -> None:
        for member in list(room):
            try:
                member.send_nowait(line)
            except anyio.WouldBlock:
                room.discard(member)
                member.close()  # `_forward` sends what is left, then ends the call.


async def main() -> None:
    """Listen on port 50052 of this machine."""
    listener = await open_tcp_listener("127.0.0.1", 50052)
    print("serving on 127.0.0.1:50052; Ctrl-C stops it")
    await Server([Chat()]).serve(listener)


if __name__ == "__main__":
    try:
        anyio.run(main, backend="trio")
    except* KeyboardInterrupt:  # In a group: Ctrl-C has ended the nurseries, too.
        pass
