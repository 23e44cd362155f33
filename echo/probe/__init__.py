"""`echo-grpc probe`: reports what a path does to gRPC and WebSockets, check by check.

Start reading at `echo.probe.check`, which defines a check, and `echo.probe.survey`, which runs them.
"""
