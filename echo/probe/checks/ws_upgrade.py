"""`ws-upgrade`: does a WebSocket open?

If it does not, a plain request to the same gateway shows whether the path is at fault: when a handshake arrives without
its headers, the gateway says which headers did arrive.
"""

import math
from collections.abc import Mapping
from typing import Final

import trio

from echo.close_codes import ABNORMAL
from echo.printable import printable
from echo.probe.check import Check, Kind
from echo.probe.finding import Finding, broken, inconclusive, survived
from echo.probe.http1 import HttpAnswer
from echo.probe.line import UnreachableError, speaks_tls
from echo.probe.path import Path
from echo.probe.web import BIDIRECTIONAL, echoed, how_closed, is_echo, of_gateway, what_came
from echo.probe.websocket import Closed, RefusedError

PATIENCE: Final = 3.0  # Seconds for each answer.


class WsUpgrade(Check):
    """Opens a WebSocket, and has one message echoed."""

    name = "ws-upgrade"
    question = "Does a WebSocket open?"
    kind = Kind.WS
    needs = ()
    patience = 8.0
    causes = ("headers", "refused", "other", "handshake", "every-request")

    async def run(self, path: Path) -> Finding:  # noqa: D102 - as in Check
        why = f"no answer within {PATIENCE:g} s"
        try:
            with trio.move_on_after(PATIENCE) as patience:
                async with path.websocket(BIDIRECTIONAL) as socket:
                    patience.deadline = math.inf
                    return await self._opened(path, await echoed(socket, "hi", PATIENCE))
        except RefusedError as refused:
            return await _called_without_tls(path) or await _refused(path, refused.answer)
        except UnreachableError as error:
            why = str(error)
            if (finding := await _called_without_tls(path)) is not None:
                return finding
        if await _answers(path):
            return broken("refused", f"Plain requests are answered, but a WebSocket is not opened: {why}.")
        return inconclusive(f"The gateway does not answer at all: {why}.")

    async def _opened(self, path: Path, came: str | bytes | Closed | None) -> Finding:
        if isinstance(came, Closed):
            if came.code != ABNORMAL:
                return inconclusive(f"A WebSocket opens, but before the first reply {how_closed(came)}.")
        elif came is not None:
            if is_echo(came, "hi"):
                return survived("A WebSocket opens, and a message and its reply come through it.")
            return survived("A WebSocket opens, and something comes through it.", details={"came": str(came)[:200]})
        if not await _answers(path, "/grpc/hi"):
            return inconclusive("A WebSocket opens, but the gateway answers nothing, and no plain request either.")
        how = f"no reply comes within {PATIENCE:g} s" if came is None else how_closed(came)
        return broken("other", f"A WebSocket seems to open, but then {how}; plain requests are answered.")


async def _answers(path: Path, target: str = "/healthz") -> bool:
    """Whether the gateway answers a plain request."""
    answer = await _answer(path, target)
    return answer is not None and answer.status == 200


async def _answer(path: Path, target: str = "/healthz") -> HttpAnswer | None:
    """The answer to a plain request, if one comes."""
    try:
        with trio.move_on_after(PATIENCE):
            return await path.get(target)
    except UnreachableError:
        pass
    return None


async def _called_without_tls(path: Path) -> Finding | None:
    """The finding if the gateway was called in plain text, and speaks TLS."""
    gateway = path.gateway
    if gateway is None or gateway.tls or not await speaks_tls(gateway):
        return None
    url = f"https://{gateway.authority}{gateway.prefix}"
    return broken("", f"The gateway's port speaks TLS, and was called without it: write {url}.")


async def _refused(path: Path, answer: HttpAnswer) -> Finding:
    if answer.status == 101 and not answer.header("sec-websocket-accept"):
        what = "A WebSocket does not open: the answer 101 comes without Sec-WebSocket-Accept"
        return broken("handshake", f"{what}, as a hop leaves it out that speaks HTTP/2 to the gateway.")
    if answer.status == 101:
        return broken("other", "Something other than the gateway accepted the WebSocket: its handshake is invalid.")
    said = of_gateway(answer)
    if said is None:
        plain = await _answer(path)
        if plain is not None and plain.status == answer.status:
            what = f"A WebSocket is refused by a hop before the gateway: {what_came(answer)} came"
            hint = "; PROXY protocol in front of requests can cause this" if answer.status == 400 else ""
            return broken("every-request", f"{what}, as it does for plain requests{hint}.")
        return broken("other", f"A WebSocket is refused, but not by the gateway: {what_came(answer)} came.")
    arrived = said.get("arrived")
    if isinstance(arrived, Mapping):
        lost = _lost(arrived)
        version = printable(str(arrived.get("http_version")), 10)
        by = f" (it came as HTTP/{version})" if version != "1.1" else ""
        sentence = f"A WebSocket does not open: its request reached the gateway without its {lost}{by}."
        return broken("headers", sentence)
    return broken("headers", f"The gateway refuses what arrived: {printable(str(said['message']), 120)}.")


def _lost(arrived: Mapping[str, object]) -> str:
    headers = arrived.get("headers")
    there = headers if isinstance(headers, Mapping) else {}
    upgrade = "websocket" in str(there.get("upgrade", "")).lower()
    connection = "upgrade" in str(there.get("connection", "")).lower()
    names = [name for name, found in (("Upgrade", upgrade), ("Connection: Upgrade", connection)) if not found]
    return f"header{'s' * (len(names) > 1)} {' and '.join(names)}" if names else "upgrade"
