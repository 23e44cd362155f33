"""What a handler can ask about its call, and the metadata that end it."""

import math

from anyio.abc import ByteStream
from multidict import MultiDict

from echo.rpc.deadline import Deadline
from echo.transport import Peer, ServerCall
from echo.wire import Metadata, Request


class CallFacts:
    """The facts about a call that is being served."""

    __slots__ = ("_call", "_trailing")

    _call: ServerCall
    _trailing: Metadata | None

    @property
    def peer(self) -> Peer:
        """The other end of the connection."""
        return self._call.session.peer

    @property
    def path(self) -> str:
        """The method called: ``/package.Service/Method``."""
        return self._call.request.path

    @property
    def request(self) -> Request:
        """The request's head as received."""
        return self._call.request

    @property
    def transport(self) -> ByteStream:
        """The connection's byte stream, for its extra attributes only."""
        return self._call.session.stream

    @property
    def user_agent(self) -> str | None:
        """The client's ``user-agent``, or None."""
        return self._call.request.user_agent

    @property
    def deadline(self) -> Deadline | None:
        """The call's deadline, or None."""
        return None if self._call.deadline == math.inf else Deadline.at(self._call.deadline)

    @property
    def trailing_metadata(self) -> Metadata:
        """To be sent with the call's end, however it ends, before what `send_trailing_metadata` is given."""
        if self._trailing is None:
            self._trailing = MultiDict()
        return self._trailing

    @property
    def received_compressed(self) -> bool:
        """Whether the last message received was compressed."""
        messages = self._call.messages
        return messages.inflated == messages.messages > 0
