"""What echo changes about Hypercorn 0.18 and wsproto, all of it, and nothing else.

Hypercorn's trio worker runs each connection by a class named ``TCPServer``. `install` puts `Connection` in its place;
that is the only name replaced. A `Connection` is made of subclasses of Hypercorn's protocols and of parts of its own,
so it holds for ``just gateway`` and for plain ``hypercorn --worker-class trio`` alike. Each file says which behaviour
of upstream it corrects, and `tests/gateway/hypercorn_compat` has for each the input that shows it: the tests run the
input against stock Hypercorn too, and fail once upstream has mended it and the file can go.

=====================  ==============================================================================================
`containment`          One connection's fault ended all connections, and the process.
`outlet`               A peer that takes nothing held a connection, and a shutdown, for ever.
`liveness`             Pings were a task for each WebSocket that outlived it; silent peers were dropped, or not, alike.
`endings`              Connections were closed while a request was on its way, or left open after their last response.
`tasks`                Events for an application that does not read, or has ended, were waited with for ever.
`protocols`            A connection of HTTP/2 was never closed, if no request came on it.
`wrong_protocol`       TLS to a port without, and HTTP in plain text to one with TLS, were met with silence.
`http1`                ``Connection`` and ``Upgrade`` were not read as lists; h2c was taken without its settings.
`http2`                Late frames, plain CONNECT and PRIORITY were faults; streams were left without their end.
`inbox`                One stream of HTTP/2 whose application does not read held up all others.
`send_buffer`          A sender went on while the client's window was shut: the buffer grew without end.
`handshake`            Refused handshakes did not say why, and left the socket open for ever.
`websocket_stream`     Early frames, large messages and protocol errors cut WebSockets off; nothing was sent in batches.
`frames`               Close code 1014 cut a client off; a frame cost more than the rest of a relayed message.
=====================  ==============================================================================================

`direct` is what the gateway's WebSockets may use besides ASGI; `timing` has the times.
"""

from echo.gateway.hypercorn_compat.census import connection_counts
from echo.gateway.hypercorn_compat.direct import DIRECT, Direct, Wishes
from echo.gateway.hypercorn_compat.install import UnsupportedVersionError, install
from echo.gateway.hypercorn_compat.timing import CLOSE_TIMEOUT, LAST_WORDS, PATIENCE

__all__ = [
    "CLOSE_TIMEOUT",
    "DIRECT",
    "LAST_WORDS",
    "PATIENCE",
    "Direct",
    "UnsupportedVersionError",
    "Wishes",
    "connection_counts",
    "install",
]
