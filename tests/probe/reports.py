"""Reports made by hand, for the tests of what is made of them."""

from datetime import UTC, datetime

from echo.probe.finding import Finding, broken, inconclusive, limited, skipped, survived
from echo.probe.report import Facts, Report, Result

FINDINGS = {
    "http2": survived("HTTP/2 is spoken all the way."),
    "trailers": broken("status-lost", "The reply came, but its end did not: it was cut off before the status."),
    "stream-idle": limited(
        "reset", "The path cuts idle streams after 60 s: a stream without messages was reset.", limit=60.0, unit="s"
    ),
    "cancel": inconclusive("What the server saw | could not be fetched: <b>\x1b[1m & ]]>."),
    "ws-idle": skipped("It needs the gateway's URL (--gateway)."),
}


def report_of(findings: dict[str, Finding] | None = None, facts: Facts | None = None) -> Report:
    advice = "nginx: grpc_read_timeout (default 60s): raise it above the longest silence of a stream"
    results = [
        Result(name, "Does it?", finding, [advice] if finding.cause else [], 1.25)
        for name, finding in (findings or FINDINGS).items()
    ]
    started = datetime(2030, 1, 2, 3, 4, 5, tzinfo=UTC)
    facts = facts or Facts("HTTP/2", "TLSv1.3", {}, ["a", "b"], ["x-request-id"], ["nginx"])
    return Report("echo.example:443", None, [], started, 12.5, facts, results)
