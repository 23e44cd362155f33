"""`ws-http2`: does a WebSocket open over HTTP/2?

Not offering it is not a fault, since browsers then use HTTP/1.1. Offering it and then refusing it is one.
"""

from typing import Final

import trio

from echo.probe.check import Check, Kind
from echo.probe.finding import Finding, broken, inconclusive, limited, survived
from echo.probe.http2 import Http2
from echo.probe.line import UnreachableError
from echo.probe.path import Path
from echo.probe.web import BIDIRECTIONAL, echoed, how_closed, is_echo, what_came
from echo.probe.websocket import Closed, RefusedError

PATIENCE: Final = 3.0  # Seconds for each answer.


class WsHttp2(Check):
    """Checks whether WebSockets are offered on an HTTP/2 connection, and opens one."""

    name = "ws-http2"
    question = "Does a WebSocket open over HTTP/2?"
    kind = Kind.WS
    needs = ()
    patience = 10.0
    causes = ("not-offered", "refused", "incomplete")

    async def run(self, path: Path) -> Finding:  # noqa: D102 - as in Check
        try:
            async with path.gateway_http2() as connection:
                with trio.move_on_after(PATIENCE):
                    await connection.ready()
                if connection.settings is None:
                    return await self._no_http2(path, connection)
                if not connection.tunnels:
                    sentence = "HTTP/2 is spoken, but WebSockets are not offered on it; browsers then use HTTP/1.1."
                    return limited("not-offered", sentence)
                return await self._tunnel(path, connection)
        except UnreachableError as error:
            return await self._unreachable(path, str(error))

    async def _no_http2(self, path: Path, connection: Http2) -> Finding:
        return await self._unreachable(path, connection.ended or f"nothing came within {PATIENCE:g} s")

    async def _unreachable(self, path: Path, why: str) -> Finding:
        """The finding without HTTP/2: the path is not to blame if the gateway does not answer at all."""
        try:
            with trio.fail_after(PATIENCE):
                await path.get("/healthz")
        except (UnreachableError, trio.TooSlowError):
            return inconclusive(f"The gateway does not answer at all: {why}.")
        return limited("not-offered", "The path to the gateway does not speak HTTP/2, so browsers use HTTP/1.1.")

    async def _tunnel(self, path: Path, connection: Http2) -> Finding:
        came: str | bytes | Closed | None = None
        try:
            with trio.move_on_after(PATIENCE) as waiting:
                socket = await path.tunnel_on(connection, BIDIRECTIONAL)
                came = await echoed(socket, "hi", PATIENCE)
            if waiting.cancelled_caught:
                how = f"nothing comes within {PATIENCE:g} s"
            elif isinstance(came, Closed):
                how = how_closed(came)
            elif came is not None and is_echo(came, "hi"):
                return survived("A WebSocket opens over HTTP/2, and a message and its reply come through it.")
            else:
                how = "what comes is not the reply" if came is not None else "no reply comes"
        except RefusedError as refused:
            status = refused.answer.status
            if status == 400 and b"Sec-WebSocket-Key" in refused.answer.body:  # As our gateway says.
                how = "the path turns it into an HTTP/1.1 handshake, and leaves out the key"
                return broken("incomplete", f"WebSockets are offered over HTTP/2, but do not open: {how}.")
            how = f"the answer is {what_came(refused.answer)}" if status else "the request for one is reset"
        return broken("refused", f"WebSockets are offered over HTTP/2, but do not open: {how}.")
