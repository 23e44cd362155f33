"""Asking a server or a gateway whether it is well: ``echo-grpc health``, for health checks that run a command.

Such a check runs every few seconds beside the program it is about, so it must start quickly: nothing here loads an
event loop, a settings model or generated messages. `echo.health.command` reads the command line and gives the exit
status, `echo.health.check` makes one call by `echo.wire`, `echo.health.web` one HTTP request, both on a blocking socket
with a deadline (`echo.health.line`). Who answers such calls is `echo.rpc.health`.
"""
