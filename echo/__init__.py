"""echo: gRPC services on trio with structured concurrency, and a WebSocket gateway in front of them.

Where to look first: `echo.rpc` is what a user of the runtime imports, `echo.services` holds the echo services,
`echo.gateway` the web application, `echo.cli` the commands. `echo.transport` and `echo.wire` lie beneath `echo.rpc`.
"""
