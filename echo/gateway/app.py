"""The web application: a Quart-Trio app with one gRPC channel, its routes, and its way with WebSockets."""

import trio
from hypercorn.typing import ASGIReceiveCallable, ASGISendCallable
from quart import Response
from quart_trio import QuartTrio
from quart_trio.asgi import TrioASGILifespan, TrioASGIWebsocketConnection
from werkzeug.routing import BaseConverter
from werkzeug.wrappers import Response as WerkzeugResponse

from echo.gateway.http import add_http_routes
from echo.gateway.mending import mend_hypercorn
from echo.gateway.socket import Socket
from echo.gateway.sockets import SOCKET, add_websocket_routes
from echo.gateway.status import FAILED, GOING_AWAY
from echo.rpc import Channel, Keepalive, Limits, open_channel
from echo.settings import Settings
from echo.tls import client_context

FAREWELL = 1.0  # Seconds that a close frame may take once everything is being cancelled.


class AnyText(BaseConverter):
    """A part of a path that may be anything, slashes and line breaks included, but not nothing."""

    regex = r"(?s:.+)"
    part_isolating = False


class Gateway(QuartTrio):
    """The app.

    Attributes:
        settings: What it was made with.
        channel: To the gRPC server; open from the app's start-up to its shutdown.
        tls: How to call the server, or None for plain text.
        draining: It is about to stop, and says so to who asks whether it is ready.
    """

    channel: Channel

    def __init__(self, settings: Settings) -> None:
        super().__init__("echo.gateway", static_folder=None)
        self.settings = settings
        self.tls = client_context(settings)  # Here, not at start-up, where Hypercorn would go on without it.
        self.draining = False
        self.asgi_lifespan_class = Lifespan
        self.asgi_websocket_class = WebsocketConnection
        self.url_map.merge_slashes = False
        self.url_map.converters["any_text"] = AnyText


class Lifespan(TrioASGILifespan):
    """Holds the channel open while the app serves.

    Not by Quart's ``while_serving``: that is a generator, and a nursery must not stand open across its ``yield``.
    """

    app: Gateway

    async def __call__(self, receive: ASGIReceiveCallable, send: ASGISendCallable) -> None:
        """Serve ASGI's lifespan."""
        settings = self.app.settings
        keepalive = Keepalive(settings.grpc_client_keepalive_time, settings.grpc_client_keepalive_timeout)
        async with open_channel(
            settings.grpc_server_host,
            settings.grpc_server_port,
            tls=self.app.tls,
            server_hostname=settings.grpc_client_server_name,
            limits=Limits(max_message_size=settings.grpc_max_message_size),
            keepalive=keepalive if settings.grpc_client_keepalive else None,
        ) as self.app.channel:
            await super().__call__(receive, send)


class WebsocketConnection(TrioASGIWebsocketConnection):
    """Runs a route's handler in the task that Hypercorn gives us, with a `Socket` to talk through."""

    async def __call__(self, receive: ASGIReceiveCallable, send: ASGISendCallable) -> None:
        """Serve one WebSocket."""
        await receive()  # websocket.connect
        socket = Socket(receive, send)
        self.scope[SOCKET] = socket  # type: ignore[literal-required]
        try:
            response = await self.app.handle_websocket(self._create_websocket_from_scope(send))
            if not socket.accepted:
                await self._reject(response, send)
            else:
                await socket.close(FAILED, "INTERNAL")  # A handler that ends well has closed it itself.
        finally:
            if socket.accepted and not socket.closed and trio.current_effective_deadline() == -float("inf"):
                # Hypercorn stops by cancelling us. There is no later moment to tell the client, so this one is
                # shielded, and bounded.
                with trio.move_on_after(FAREWELL, shield=True):
                    await socket.close(GOING_AWAY, "going away")

    async def _reject(self, response: Response | WerkzeugResponse | None, send: ASGISendCallable) -> None:
        status = 500 if response is None else response.status_code
        headers = [] if response is None else [(k.lower().encode(), v.encode()) for k, v in response.headers.items()]
        body = b"" if response is None else await _body(response)
        await send({"type": "websocket.http.response.start", "status": status, "headers": headers})
        await send({"type": "websocket.http.response.body", "body": body, "more_body": False})


async def _body(response: Response | WerkzeugResponse) -> bytes:
    if isinstance(response, Response):
        return await response.get_data(as_text=False)
    return response.get_data(as_text=False)


def create_app(settings: Settings) -> Gateway:
    """The gateway as an ASGI application for Hypercorn's trio worker.

    Its channel to the gRPC server is opened by ASGI's lifespan, so a server that runs it must support that.

    Raises:
        SettingsError: A certificate or key cannot be used.
    """
    mend_hypercorn()
    app = Gateway(settings)
    add_http_routes(app)
    add_websocket_routes(app)
    return app
