"""Everything that the calls of a method on one channel share, computed once, so that a call needs a single look-up."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from grpclib.const import Cardinality
from grpclib.encoding.base import CodecBase

from echo.rpc.call_credentials import CallCredentials
from echo.wire import Metadata, Request

if TYPE_CHECKING:
    from echo.rpc.channel import Channel
    from echo.rpc.service_config import MethodConfig  # Not before a channel has a service config.


@dataclass(slots=True)
class Method:
    """A method as one channel calls it. A call with its own options has its own instance.

    Attributes:
        channel: The channel.
        path: ``/package.Service/Method``.
        cardinality: Which sides send more than one message.
        compression: The encoding of messages that are sent.
        wait_for_ready: Whether to wait for a connection instead of failing.
        config: The method's configuration in the channel's service config, if any.
        credentials: Call credentials, which add metadata.
        codec: Encodes and decodes messages.
        request_type: The class of the messages sent.
        reply_type: The class of the messages received.
        encode: The codec's function for requests whose class is ``request_type`` itself.
        decode: The codec's function for replies.
        sends_one: Whether the client sends exactly one message.
        receives_one: Whether the server sends exactly one message.
        max_request: The largest message sent, in bytes.
        plain: Whether its calls need neither config nor credentials nor notes.
    """

    channel: "Channel"
    path: str
    cardinality: Cardinality
    compression: str
    wait_for_ready: bool
    config: "MethodConfig | None"
    credentials: Sequence[CallCredentials]
    codec: CodecBase
    request_type: type
    reply_type: type
    encode: Callable[[Any], bytes]
    decode: Callable[[bytes], Any]
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
        """The head of a call with this metadata. Calls without metadata share one."""
        if not metadata:
            return self._head
        head = self._head
        return Request(head.path, head.scheme, head.authority, metadata=metadata, encoding=head.encoding)
