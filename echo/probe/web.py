"""How checks talk to the gateway: scripted requests, WebSocket messages, and what both ends saw of a call."""

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Final
from urllib.parse import urlencode

import trio

from echo.close_codes import ABNORMAL
from echo.printable import printable
from echo.probe.calls import Script
from echo.probe.evidence import POLL, Record, is_over
from echo.probe.http1 import HttpAnswer
from echo.probe.line import UnreachableError
from echo.probe.path import Path
from echo.probe.websocket import Closed, WebSocket

BIDIRECTIONAL: Final = "/ws/stream/bidirectional"
CLIENT_STREAM: Final = "/ws/stream/client"

MAX_SAID: Final = 150  # Characters of an answer that are quoted.
MAX_POLL: Final = 0.5  # Seconds between two looks at the evidence, in the end.
_INVALID: Final = "invalid message format"
UNHEEDED_QUERY: Final = "The server did not do as asked: is ECHO_SCRIPTING off, or does the path drop query parameters?"


def scripted_target(target: str, script: Script | None = None, call_id: str | None = None) -> str:
    """The target of a request to the gateway, with the script as its query.

    Args:
        target: The path.
        script: What the server is to do: names without prefix, and one or several values.
        call_id: The name to record the call under, at both ends.
    """
    query = {**(script or {}), **({} if call_id is None else {"call-id": call_id})}
    return f"{target}?{urlencode(query, doseq=True)}" if query else target


def message(text: str = "hi", **fields: str | int) -> str:
    """A message to a stream, as JSON."""
    return json.dumps({"stream_id": "probe", **fields, "message": text}, ensure_ascii=False, separators=(",", ":"))


def parse_object(received: str | bytes) -> Mapping[str, object]:
    """A stream's response as an object; empty if it is not JSON."""
    try:
        found = json.loads(received)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def is_echo(received: str | bytes, text: str) -> bool:
    """Whether it is the server's response to a message with this text, in a text frame."""
    return isinstance(received, str) and parse_object(received).get("response") == f"from server: {text}"


def is_invalid(received: str | bytes) -> bool:
    """Whether it is the gateway's reply to an invalid message."""
    found = parse_object(received)
    return isinstance(received, str) and found.get("response") == _INVALID and found.get("success") is False


async def echoed(socket: WebSocket, text: str, within: float) -> str | bytes | Closed | None:
    """Send a message and return the next one received; None if none comes in time."""
    with trio.move_on_after(within):
        await socket.send(message(text))
        return await socket.receive()
    return None


def how_closed(closed: Closed) -> str:
    """How a WebSocket ended, as a clause."""
    if closed.code == ABNORMAL:
        return closed.reason
    reason = f" and the reason “{printable(closed.reason, 80)}”" if closed.reason else " and no reason"
    return f"it was closed with code {closed.code}{reason}"


def what_came(answer: HttpAnswer) -> str:
    """An HTTP answer in a few words, with what it says if that is short plain text, as it is Envoy's."""
    kind = printable(answer.header("content-type").partition(";")[0], 40)
    said = answer.body.decode("utf-8", "replace").strip() if kind == "text/plain" else ""
    text = f" (“{printable(said)}”)" if 0 < len(said) <= MAX_SAID else ""
    return f"HTTP {answer.status} with {kind}{text}" if kind else f"HTTP {answer.status}"


def of_gateway(answer: HttpAnswer) -> Mapping[str, object] | None:
    """The gateway's JSON error; None if the answer is not the gateway's."""
    body = parse_object(answer.body)
    whole = isinstance(body.get("code"), int) and isinstance(body.get("status"), str) and "message" in body
    return body if whole else None


async def server_saw(
    path: Path, call_id: str, *, until: Callable[[Record], object] = is_over, within: float = 2.0
) -> Sequence[Record] | None:
    """What the server saw of a call through the gateway: from `Path.evidence`, or else from the gateway.

    Returns:
        The attempts as they are by then; an empty list if no server has seen the call; None if none can be asked.
    """
    last = trio.current_time() + within
    pause = POLL
    found: Sequence[Record] | None = None
    while True:
        seen = await path.evidence(call_id, until=until, within=0.0)
        if not seen:  # The gateway may call another server.
            seen = await _by_gateway(path, call_id) or seen
        found = seen if seen is not None else found
        if (found and all(until(record) for record in found)) or trio.current_time() >= last:
            return found
        await trio.sleep(min(pause, last - trio.current_time()))
        pause = min(2 * pause, MAX_POLL)


async def gateway_saw(path: Path, call_id: str, *, within: float = 1.0) -> Mapping[str, object] | None:
    """The gateway's record of a request, once it has ended; None if there is none by then."""
    with trio.move_on_after(within):
        while True:
            record = (await _evidence(path, call_id)).get("gateway")
            if not isinstance(record, dict):
                return None
            if record.get("ended"):
                return record
            await trio.sleep(2 * POLL)
    return None


async def _by_gateway(path: Path, call_id: str) -> list[Record]:
    record = (await _evidence(path, call_id)).get("server")
    if not isinstance(record, dict):
        return []
    try:
        latest = Record().from_dict(record)
    except (TypeError, ValueError, KeyError, AttributeError):  # Not a record as echo writes it.
        return []
    return [*latest.other_attempts, latest]


async def _evidence(path: Path, call_id: str) -> Mapping[str, object]:
    """The gateway's records of both ends."""
    try:
        answer = await path.get(f"/evidence/{call_id}")
    except UnreachableError:
        return {}
    return parse_object(answer.body) if answer.status == 200 else {}
