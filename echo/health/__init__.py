"""Asks a server or a gateway whether it is healthy: ``echo-grpc health``, for health checks that run a command.

An orchestrator runs the command every few seconds, so it must start quickly: nothing here loads an event loop, the
settings or generated messages. `echo.health.command` reads the command line and gives the exit status,
`echo.health.check` makes one call with `echo.wire`, `echo.health.web` one HTTP request, both on a blocking socket with
a deadline (`echo.health.line`). The service that answers these calls is `echo.rpc.health`.
"""
