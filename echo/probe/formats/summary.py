"""What all formats say in the same words: what was probed, what the path looks like, and the number of outcomes."""

from echo.probe.report import Report


def ends(report: Report) -> str:
    """What was probed."""
    gateway = f", gateway {report.gateway}" if report.gateway else ""
    direct = f", direct {', '.join(report.direct)}" if report.direct else ""
    return f"{report.target}{gateway}{direct}"


def path_in_words(report: Report) -> str:
    """What the path looks like; empty if nothing is known."""
    facts = report.path
    servers = len(facts.instances)
    parts = [
        facts.protocol or "",
        facts.tls or "",
        f"through {', '.join(facts.hops_guess)}" if facts.hops_guess else "",
        "" if servers == 0 else "one server seen" if servers == 1 else f"{servers} servers seen",
        f"headers added on the way: {', '.join(facts.added_headers)}" if facts.added_headers else "",
    ]
    return "; ".join(part for part in parts if part)


def counts_in_words(report: Report) -> str:
    """The number of checks by outcome, without zeros."""
    return ", ".join(f"{count} {outcome}" for outcome, count in report.counts().items() if count) or "no checks"
