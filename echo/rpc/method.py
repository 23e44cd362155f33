"""What holds for all calls of a method on a channel, worked out once: so a call looks up nothing but this."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from grpclib.const import Cardinality

from echo.rpc.call_credentials import CallCredentials
from echo.wire import Metadata, Request

if TYPE_CHECKING:
    from echo.rpc.channel import Channel
    from echo.rpc.service_config import MethodConfig  # Not before a channel has a service config.


@dataclass(slots=True)
class Method:
    """A method as one channel calls it. A call with options of its own has an instance of its own.

    Attributes:
        channel: The channel.
        path: ``/package.Service/Method``.
        cardinality: Which sides send more than one message.
        compression: How messages that are sent are compressed.
        wait_for_ready: Whether to wait for a connection rather than to fail.
        config: What the channel's service config says of the method, if it says anything.
        credentials: Who is asked for further metadata.
        sends_one: The client sends one message.
        receives_one: So does the server.
        max_request: Bytes of a message that is sent.
        plain: Neither config, credentials nor notes have a part in its calls.
    """

    channel: "Channel"
    path: str
    cardinality: Cardinality
    compression: str
    wait_for_ready: bool
    config: "MethodConfig | None"
    credentials: Sequence[CallCredentials]
    sends_one: bool = field(init=False)
    receives_one: bool = field(init=False)
    max_request: float = field(init=False)
    plain: bool = field(init=False)
    _head: Request = field(init=False)

    def __post_init__(self) -> None:
        config, channel = self.config, self.channel
        self.sends_one = not self.cardinality.client_streaming
        self.receives_one = not self.cardinality.server_streaming
        self.max_request = math.inf if config is None or config.max_request is None else config.max_request
        self.plain = config is None and not self.credentials and channel.notes is None
        self._head = Request(self.path, channel.scheme, channel.authority, encoding=self.compression)

    def request(self, metadata: Metadata | None) -> Request:
        """The head of a call with this metadata. Calls without any have the same one."""
        if not metadata:
            return self._head
        head = self._head
        return Request(head.path, head.scheme, head.authority, metadata=metadata, encoding=head.encoding)
