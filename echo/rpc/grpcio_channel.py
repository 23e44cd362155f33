"""The methods of a channel that stubs generated for grpcio and programs written for ``grpc.aio`` call.

The package grpcio is imported only when they are called; see `echo.rpc.grpcio_style`.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, cast

from echo.rpc.balancer import Balancer
from echo.rpc.connectivity import ChannelState
from echo.rpc.event_loop import EventLoop
from echo.rpc.subchannel import Connecting
from echo.rpc.thread_tasks import ThreadTasks
from echo.rpc.unsupported import refusing
from echo.wire import GRPCError

if TYPE_CHECKING:
    import grpc

    from echo.rpc.channel import Channel
    from echo.rpc.grpcio_style import StreamStream, StreamUnary, UnaryStream, UnaryUnary

_STATES: Final = "use 'async for state in channel.states()'"

Function = Callable[[Any], Any]


class GrpcioChannel:
    """The part of `Channel` with ``grpc.aio``'s methods."""

    balancer: Balancer

    def __init__(self, common: Connecting) -> None:
        self.loop: EventLoop = EventLoop()
        self.threads: ThreadTasks = ThreadTasks(self.loop, common)
        self._common = common

    if not TYPE_CHECKING:  # A type checker is to know that they are missing.
        __getattr__ = refusing("Channel", {"subscribe": _STATES, "unsubscribe": _STATES})

    @property
    def _channel(self) -> "Channel":
        return cast("Channel", self)

    def unary_unary(
        self,
        method: str,
        request_serializer: Function | None = None,
        response_deserializer: Function | None = None,
        _registered_method: bool | None = None,
    ) -> "UnaryUnary":
        """Like ``grpc.aio.Channel.unary_unary``: a callable for a method with one request and one reply.

        Args:
            method: ``/package.Service/Method``.
            request_serializer: Encodes a request; None for requests that are bytes.
            response_deserializer: Decodes a reply; None for bytes.

        Calls run in tasks of the channel. Needs the package grpcio.
        """
        from echo.rpc.grpcio_style import UnaryUnary  # noqa: PLC0415 - Only its users have grpcio.

        return UnaryUnary(self._channel, self._common, method, request_serializer, response_deserializer)

    def unary_stream(
        self,
        method: str,
        request_serializer: Function | None = None,
        response_deserializer: Function | None = None,
        _registered_method: bool | None = None,
    ) -> "UnaryStream":
        """Like `unary_unary`, for one request and many replies."""
        from echo.rpc.grpcio_style import UnaryStream  # noqa: PLC0415

        return UnaryStream(self._channel, self._common, method, request_serializer, response_deserializer)

    def stream_unary(
        self,
        method: str,
        request_serializer: Function | None = None,
        response_deserializer: Function | None = None,
        _registered_method: bool | None = None,
    ) -> "StreamUnary":
        """Like `unary_unary`, for many requests and one reply."""
        from echo.rpc.grpcio_style import StreamUnary  # noqa: PLC0415

        return StreamUnary(self._channel, self._common, method, request_serializer, response_deserializer)

    def stream_stream(
        self,
        method: str,
        request_serializer: Function | None = None,
        response_deserializer: Function | None = None,
        _registered_method: bool | None = None,
    ) -> "StreamStream":
        """Like `unary_unary`, for many requests and many replies."""
        from echo.rpc.grpcio_style import StreamStream  # noqa: PLC0415

        return StreamStream(self._channel, self._common, method, request_serializer, response_deserializer)

    def get_state(self, try_to_connect: bool = False) -> "grpc.ChannelConnectivity":
        """The channel's state as grpcio's enumeration; `Channel.state` is the same without grpcio.

        Args:
            try_to_connect: Connect, in the background, until it is READY.
        """
        import grpc  # noqa: PLC0415 - Only its users have it.

        state = self.balancer.state
        if try_to_connect and state is not ChannelState.READY:
            self.balancer.connect_soon()
        return grpc.ChannelConnectivity[state.name]

    async def channel_ready(self) -> None:
        """Connect, and wait until the channel is READY, however long that takes.

        Raises:
            grpc.aio.UsageError: The channel is closed.
        """
        try:
            await self.balancer.wait(for_ready=True)
        except GRPCError as error:
            import grpc  # noqa: PLC0415 - Only its users have it.

            raise grpc.aio.UsageError("Channel is closed.") from error
