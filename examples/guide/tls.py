"""Mutual TLS: the server and the client each present a certificate."""

import ssl
from contextlib import suppress
from pathlib import Path

import anyio
from anyio.abc import SocketAttribute

from echo.rpc import Server, open_channel, open_tcp_listener
from examples.pb.todo.v1 import AddRequest, TodosStub
from examples.todo_server import Todos


# --8<-- [start:contexts]
def server_context(folder: Path) -> ssl.SSLContext:
    """Present a certificate, and accept only clients that present one of ours."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=folder / "ca.pem")
    context.load_cert_chain(folder / "server.pem")
    context.set_alpn_protocols(["h2"])  # gRPC clients insist on it.
    context.verify_mode = ssl.CERT_REQUIRED
    return context


def client_context(folder: Path) -> ssl.SSLContext:
    """Present a certificate, and accept only servers that present one of ours for their name."""
    context = ssl.create_default_context(cafile=folder / "ca.pem")
    context.load_cert_chain(folder / "client.pem")
    context.set_alpn_protocols(["h2"])
    return context
    # --8<-- [end:contexts]


# --8<-- [start:renewed]
class Renewed:
    """The server's context, made again when its certificate has been replaced."""

    def __init__(self, folder: Path) -> None:
        """Read the certificate in this folder."""
        self.folder = folder
        self.context = server_context(folder)
        self.read_at = 0

    def __call__(self) -> ssl.SSLContext:
        """The context for a new connection."""
        with suppress(OSError):  # While the file is missing or half written, the previous context is good enough.
            changed_at = (self.folder / "server.pem").stat().st_mtime_ns
            if changed_at != self.read_at:
                self.context = server_context(self.folder)
                self.read_at = changed_at
        return self.context
        # --8<-- [end:renewed]


async def main(folder: Path) -> None:
    """Serve and call."""
    # --8<-- [start:use]
    listener = await open_tcp_listener("127.0.0.1", 0, tls=Renewed(folder))
    port = listener.extra(SocketAttribute.local_port)
    async with anyio.create_task_group() as tasks:
        await tasks.start(Server([Todos()]).serve, listener)
        async with open_channel("localhost", port, tls=client_context(folder)) as channel:
            print(await TodosStub(channel).add(AddRequest("keep a secret")))
        tasks.cancel_scope.cancel()
    # --8<-- [end:use]
