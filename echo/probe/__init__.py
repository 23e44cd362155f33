"""`echo-grpc probe`: what a path does to gRPC and WebSockets, check by check.

Start reading at `echo.probe.check`, which says what a check is, and `echo.probe.survey`, which runs them.
"""
