"""`ws-http2`: does a WebSocket open over HTTP/2."""

from echo.probe.check import Check, Kind
from echo.probe.finding import Finding, skipped
from echo.probe.path import Path


class WsHttp2(Check):
    """See the question."""

    name = "ws-http2"
    question = "Does a WebSocket open over HTTP/2?"
    kind = Kind.WS
    needs = ()
    patience = 8.0
    causes = ("not-offered", "refused")

    async def run(self, path: Path) -> Finding:  # noqa: ARG002, D102 - as in Check
        return skipped("This check is not written yet.")
