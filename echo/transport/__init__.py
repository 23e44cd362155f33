"""Between sockets and `echo.wire`: a session for each connection, with a reader, a writer and its calls."""
