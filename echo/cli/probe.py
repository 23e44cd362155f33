"""``echo-grpc probe``: the command and its flags. What they mean is in `echo.cli.probing`, which loads all the rest."""

import click

__all__ = ["probe_command"]

FORMATS = ("text", "json", "markdown", "junit")


class _Command(click.Command):
    """Its help ends with the names of the checks."""

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        from echo.probe.table import CHECKS  # noqa: PLC0415 - Only who asks for it loads them.

        self.epilog = f"Checks: {', '.join(check.name for check in CHECKS)}"
        super().format_epilog(ctx, formatter)


def probe_command() -> click.Command:
    """The command."""
    return _Command(
        "probe",
        help="Find out what a path (mesh, ingress, load balancer, NAT, CDN) does to gRPC and WebSockets.\n\n"
        "TARGET is an echo server's gRPC port behind that path: HOST:PORT, http://HOST:PORT or https://HOST.\n\n"
        "Exit status: 0 nothing broken or limited, 1 something is, 2 the command line, 3 the target cannot be "
        "reached, 4 nothing broken but something inconclusive.",
        params=[
            click.Argument(["target"]),
            click.Option(["--gateway"], metavar="URL", help="the gateway through its path, for ws-* and http-*"),
            click.Option(
                ["--direct"], multiple=True, metavar="HOST:PORT", help="the server, around the path; may be repeated"
            ),
            click.Option(["--quick"], is_flag=True, help="end within 20 s"),
            click.Option(["--long"], is_flag=True, help="wait as long as --idle says (default 1h)"),
            click.Option(["--only"], metavar="NAME,...", multiple=True, help="these checks alone"),
            click.Option(["--skip"], metavar="NAME,...", multiple=True, help="without these checks"),
            click.Option(["--idle"], metavar="DURATION", help="how long silent streams and connections should live"),
            click.Option(["--header"], multiple=True, metavar="K=V", help="send this with every request"),
            click.Option(
                ["--format", "form"],
                type=click.Choice(FORMATS),
                default="text",
                help="of the report, by default text",
            ),
            click.Option(["--output"], metavar="FILE", help="write the report there"),
            click.Option(["--authority"], metavar="NAME", help="the server's name that requests carry"),
            click.Option(["--expect"], metavar="FILE", help="an earlier JSON report: 1 only for what is worse"),
            click.Option(["--tls", "--grpc-server-tls", "tls"], is_flag=True, help="HOST:PORT speaks TLS"),
            click.Option(["--ca", "--grpc-client-ca", "grpc_client_ca"], metavar="FILE", help="CAs to verify it with"),
            click.Option(["--cert", "--grpc-client-cert", "grpc_client_cert"], metavar="FILE", help="our certificate"),
            click.Option(["--key", "--grpc-client-key", "grpc_client_key"], metavar="FILE", help="its private key"),
            click.Option(
                ["--server-name", "--grpc-client-server-name", "grpc_client_server_name"],
                metavar="NAME",
                help="what the target's certificate is for, if not its host",
            ),
            click.Option(
                ["--insecure", "--grpc-client-insecure", "grpc_client_insecure"], is_flag=True, help="verify nothing"
            ),
        ],
        callback=_run,
    )


def _run(**given: object) -> int:
    from echo.cli.probing import probe  # noqa: PLC0415 - Only who probes loads it.

    return probe(given)
