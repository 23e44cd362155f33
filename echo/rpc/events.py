"""grpclib's events for our server and channel: ``grpclib.events.listen`` registers with their ``__dispatch__``.

Listeners are called in the order they were added. They may change an event's mutable attributes, and may call
``event.interrupt()`` to skip the listeners after them. Every message passes here, so an event without listeners costs
only the check of an empty list::

    if events.send_message:
        message = (await events.send_message.dispatch(message=message)).message
"""

from collections.abc import Awaitable, Callable
from typing import Any, Generic, Protocol, TypeVar

from grpclib.events import (
    RecvInitialMetadata,
    RecvMessage,
    RecvRequest,
    RecvTrailingMetadata,
    SendInitialMetadata,
    SendMessage,
    SendRequest,
    SendTrailingMetadata,
)


class Event(Protocol):
    """What the classes of `grpclib.events` share."""

    __interrupted__: bool


EventT = TypeVar("EventT", bound=Event)


class Listeners(list[Callable[[EventT], Awaitable[None]]], Generic[EventT]):
    """The listeners for one kind of event, in order; falsy if empty.

    Args:
        kind: The event's class.
    """

    __slots__ = ("kind",)

    def __init__(self, kind: Callable[..., EventT]) -> None:
        super().__init__()
        self.kind: Callable[..., EventT] = kind

    async def dispatch(self, **attributes: object) -> EventT:
        """Create the event, call the listeners, and return the event as they left it. Raises what a listener raises."""
        event = self.kind(**attributes)
        for callback in self:
            await callback(event)
            if event.__interrupted__:
                break
        return event


class Events:
    """The events that both sides have: one for each message sent or received."""

    __slots__ = ("_by_kind", "recv_message", "send_message")

    def __init__(self, *kinds: Listeners[Any]) -> None:
        self.send_message: Listeners[SendMessage] = Listeners(SendMessage)
        self.recv_message: Listeners[RecvMessage] = Listeners(RecvMessage)
        every: list[Listeners[Any]] = [self.send_message, self.recv_message, *kinds]
        self._by_kind: dict[object, Listeners[Any]] = {listeners.kind: listeners for listeners in every}

    def add_listener(self, event_type: type[EventT], callback: Callable[[EventT], Awaitable[None]]) -> None:
        """Called by ``grpclib.events.listen``.

        Raises:
            KeyError: This side does not have that event.
        """
        self._by_kind[event_type].append(callback)


class ServerEvents(Events):
    """A server's events."""

    __slots__ = ("recv_request", "send_initial_metadata", "send_trailing_metadata")

    def __init__(self) -> None:
        self.recv_request: Listeners[RecvRequest] = Listeners(RecvRequest)
        self.send_initial_metadata: Listeners[SendInitialMetadata] = Listeners(SendInitialMetadata)
        self.send_trailing_metadata: Listeners[SendTrailingMetadata] = Listeners(SendTrailingMetadata)
        super().__init__(self.recv_request, self.send_initial_metadata, self.send_trailing_metadata)


class ChannelEvents(Events):
    """A channel's events."""

    __slots__ = ("recv_initial_metadata", "recv_trailing_metadata", "send_request")

    def __init__(self) -> None:
        self.send_request: Listeners[SendRequest] = Listeners(SendRequest)
        self.recv_initial_metadata: Listeners[RecvInitialMetadata] = Listeners(RecvInitialMetadata)
        self.recv_trailing_metadata: Listeners[RecvTrailingMetadata] = Listeners(RecvTrailingMetadata)
        super().__init__(self.send_request, self.recv_initial_metadata, self.recv_trailing_metadata)
