"""All of echo's changes to Hypercorn 0.18 and wsproto, and nothing else.

Hypercorn's trio worker runs each connection by a class named ``TCPServer``. `install` puts `Connection` in its place;
that is the only name replaced. A `Connection` is made of subclasses of Hypercorn's protocols and of parts of its own,
so it holds for ``just gateway`` and for plain ``hypercorn --worker-class trio`` alike. Each file says which behaviour
of upstream it corrects, and `tests/gateway/hypercorn_compat` has for each the input that shows it: the tests run the
input against stock Hypercorn too, and fail once upstream has mended it and the file can go.

=====================  ==============================================================================================
`containment`          A fault on one connection ended all connections and the process.
`outlet`               A peer that reads nothing blocked its connection, and a shutdown, forever.
`liveness`             Each WebSocket's ping task outlived it; the read timeout also cut off long HTTP calls.
`endings`              Connections were closed while a request was arriving, or left open after their last response.
`tasks`                Events for an application that does not read, or has ended, were waited with forever.
`pace`                 Thousands of requests that arrived together were all handled before anything else.
`protocols`            An HTTP/2 connection without requests was never closed.
`wrong_protocol`       TLS to a plaintext port, and plain HTTP to a TLS port, failed without a message.
`http1`                ``Connection`` and ``Upgrade`` were not read as lists; a half-closed connection got no response.
`http2`                Late frames, plain CONNECT and PRIORITY were faults; streams were left without an end.
`floods`               A few connections with tiny frames, or with requests reset at once, stopped all others.
`goaway`               HTTP/2 connections were closed without saying which requests were served.
`inbox`                An HTTP/2 stream whose application does not read stalled all others.
`send_buffer`          A sender continued while the client's window was closed: the buffer grew without limit.
`handshake`            Refused handshakes gave no reason and left the socket open forever.
`websocket_stream`     Early frames, large messages and protocol errors cut WebSockets off; nothing was sent in batches.
`frames`               Close code 1014 cut a client off; a frame cost more than the rest of a relayed message.
=====================  ==============================================================================================

`serve` is our own worker, which runs a `Connection` for connections from anywhere; `direct` is the ASGI extension that
the gateway's WebSockets use; `timing` has the timeouts.
"""

from echo.gateway.hypercorn_compat.census import connection_counts
from echo.gateway.hypercorn_compat.direct import DIRECT, AcceptOptions, Direct
from echo.gateway.hypercorn_compat.install import UnsupportedVersionError, install
from echo.gateway.hypercorn_compat.timing import CLOSE_GRACE, CLOSE_TIMEOUT, PATIENCE, REQUEST_TIMEOUT

__all__ = [
    "CLOSE_GRACE",
    "CLOSE_TIMEOUT",
    "DIRECT",
    "PATIENCE",
    "REQUEST_TIMEOUT",
    "AcceptOptions",
    "Direct",
    "UnsupportedVersionError",
    "connection_counts",
    "install",
]
