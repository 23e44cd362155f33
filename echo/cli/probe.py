"""``echo-grpc probe``: the command and its flags. `echo.cli.probing` runs it, and loads everything else."""

import textwrap

import click

__all__ = ["probe_command"]

INDENT = "  "
FORMATS = ("text", "json", "markdown", "junit")


class _Command(click.Command):
    """Its help ends with the names of the checks."""

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002 - Click gives it.
        from echo.probe.table import CHECKS  # noqa: PLC0415 - Only its help needs them here.

        names = f"Checks: {', '.join(check.name for check in CHECKS)}"
        # Click would break names at their hyphens.
        lines = textwrap.wrap(
            names, formatter.width, initial_indent=INDENT, subsequent_indent=INDENT, break_on_hyphens=False
        )
        formatter.write_paragraph()
        formatter.write("\n".join([*lines, ""]))


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
            click.Option(["--gateway"], metavar="URL", help="the gateway behind the same path, for ws-* and http-*"),
            click.Option(
                ["--direct"],
                multiple=True,
                metavar="HOST:PORT",
                help="the server, or all of a name, bypassing the path; may be repeated",
            ),
            click.Option(["--quick"], is_flag=True, help="end within 20 s"),
            click.Option(["--long"], is_flag=True, help="wait as long as --idle says (default 1h)"),
            click.Option(["--only"], metavar="NAME,...", multiple=True, help="run only these checks"),
            click.Option(["--skip"], metavar="NAME,...", multiple=True, help="run all but these checks"),
            click.Option(["--idle"], metavar="DURATION", help="how long silent streams and connections should live"),
            click.Option(["--header"], multiple=True, metavar="NAME=VALUE", help="send this with every request"),
            click.Option(
                ["--format", "form"],
                type=click.Choice(FORMATS),
                default="text",
                help="the report's format, by default text",
            ),
            click.Option(["--output"], metavar="FILE", help="write the report to this file"),
            click.Option(["--authority"], metavar="NAME", help="send this as the server's name (:authority)"),
            click.Option(
                ["--expect"], metavar="FILE", help="an earlier JSON report: exit with 1 only if something is worse"
            ),
            click.Option(["--tls", "--grpc-server-tls", "tls"], is_flag=True, help="HOST:PORT speaks TLS"),
            click.Option(["--ca", "--grpc-client-ca", "grpc_client_ca"], metavar="FILE", help="CAs to verify it with"),
            click.Option(["--cert", "--grpc-client-cert", "grpc_client_cert"], metavar="FILE", help="our certificate"),
            click.Option(["--key", "--grpc-client-key", "grpc_client_key"], metavar="FILE", help="its private key"),
            click.Option(
                ["--server-name", "--grpc-client-server-name", "grpc_client_server_name"],
                metavar="NAME",
                help="the name in the certificates of TARGET and --direct, if not their hosts",
            ),
            click.Option(
                ["--insecure", "--grpc-client-insecure", "grpc_client_insecure"],
                is_flag=True,
                help="do not verify certificates",
            ),
        ],
        callback=_run,
    )


def _run(**given: object) -> int:
    from echo.cli.probing import probe  # noqa: PLC0415 - Other commands do not need it.

    return probe(given)
