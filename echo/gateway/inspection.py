"""Routes for inspecting the path to the gateway.

``GET /request`` returns the request as it arrived. ``GET /evidence/{call-id}`` returns what the gateway and the server
recorded under that call-id.
"""

from functools import partial
from typing import Final, cast

import msgspec
from hypercorn.typing import HTTPScope
from quart import Response, request
from quart_trio import QuartTrio

from echo.contract import HTTP_STATUS
from echo.evidence import INSTANCE, as_json, kept_headers
from echo.gateway.access import address_text
from echo.gateway.evidence import protocol_of
from echo.gateway.runtime import Runtime
from echo.gateway.status import error_body
from echo.pb.com.gopay.echo.evidence import GetRequest, Record
from echo.rpc import Cardinality, GRPCError, Status

__all__ = ["add_inspection"]

GET: Final = "/com.gopay.echo.evidence.Evidence/Get"
TIMEOUT: Final = 5.0  # Seconds to wait for a server's answer.
LOOKS: Final = 8  # How many servers are asked, if there are several.
JSON: Final = "application/json"


def add_inspection(app: QuartTrio, runtime: Runtime) -> None:
    """Add these routes to the application."""
    app.add_url_rule("/request", "request", _request, methods=["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"])
    app.add_url_rule("/evidence/<call_id>", "evidence", partial(_evidence, runtime))


async def _request() -> Response:
    """Return the request as it arrived."""
    scope = cast("HTTPScope", request.scope)
    query = scope["query_string"].decode("latin-1")
    arrived = {
        "protocol": protocol_of(scope),
        "method": scope["method"],
        "target": scope["raw_path"].decode("latin-1") + (f"?{query}" if query else ""),
        "headers": [{"name": name, "value": value} for name, value in kept_headers(scope["headers"])],
        "peer": address_text(scope["client"]),
        "tls": scope["scheme"] == "https",
        "instance": INSTANCE,
    }
    return Response(msgspec.json.encode(arrived), content_type=JSON)


async def _evidence(runtime: Runtime, call_id: str) -> Response:
    """Return the records of both ends; null for an end without one."""
    attempts = [record.as_json() for record in runtime.recorder.attempts(call_id)]
    gateway: dict[str, object] | None = None
    if attempts:
        gateway = attempts[-1] | ({"other_attempts": attempts[:-1]} if len(attempts) > 1 else {})
    records: dict[str, object] = {"gateway": gateway, "server": None}
    # Several servers take calls in turn, and any of them may have the record.
    for _ in range(LOOKS if runtime.settings.grpc_client_balance == "round_robin" else 1):
        try:
            records["server"] = as_json(await _ask(runtime, call_id))
            break
        except GRPCError as error:
            if error.status not in (Status.NOT_FOUND, Status.UNIMPLEMENTED):
                body = error_body(error.status, error.message)
                return Response(body, HTTP_STATUS[error.status], content_type=JSON)
    if gateway is None and records["server"] is None:
        body = error_body(Status.NOT_FOUND, "nothing is recorded under this call-id")
        return Response(body, HTTP_STATUS[Status.NOT_FOUND], content_type=JSON)
    return Response(msgspec.json.encode(records), content_type=JSON)


async def _ask(runtime: Runtime, call_id: str) -> Record:
    """A server's record of a call."""
    async with (
        runtime.backend.channel() as channel,
        channel.request(GET, Cardinality.UNARY_UNARY, GetRequest, Record, timeout=TIMEOUT) as call,
    ):
        await call.send_message(GetRequest(call_id=call_id), end=True)
        record = await call.recv_message()
    assert record is not None
    return record
