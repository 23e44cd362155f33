"""Certificates as files, contexts and credentials made from them, and TLS clients and servers, ours and grpcio's."""

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple
from unittest.mock import patch

import grpc
import pytest
import trio
import trustme
from anyio.abc import SocketAttribute

from echo.pb.com.gopay.echo import Message, Response
from echo.rpc import Channel, GRPCError, Server, Status, open_channel, open_tcp_listener
from echo.settings import load_settings
from echo.tls import client_context, server_context
from tests.support import grpcio
from tests.support.grpcio import PATIENCE, Client, GrpcioServer, in_thread
from tests.support.leaks import no_leaks
from tests.support.services import UNARY
from tests.support.serving import LOOPBACK

CLIENT_NAME = "gateway@example.com"
OTHER_NAME = "elsewhere.example.com"  # A name in certificates that is not the server's.


def shake_hands(serving: ssl.SSLContext, calling: ssl.SSLContext, name: str) -> tuple[ssl.SSLObject, ssl.SSLObject]:
    """Let two contexts shake hands in memory; returns the server's and the client's end."""
    up, down = ssl.MemoryBIO(), ssl.MemoryBIO()
    near = calling.wrap_bio(down, up, server_hostname=name)
    far = serving.wrap_bio(up, down, server_side=True)
    for _ in range(3):
        for end in (near, far):
            try:
                end.do_handshake()
            except ssl.SSLWantReadError:
                continue
    return far, near


class Pair(NamedTuple):
    """A certificate with its chain, and its key: paths of PEM files."""

    cert: str
    key: str


class Certificates:
    """The files of an authority that everyone trusts, and of one that no one does.

    Attributes:
        ca, strange_ca: The authorities' own certificates.
        server: For the loopback.
        misnamed: For `OTHER_NAME`.
        strange_server: For the loopback, by the strange authority.
        client, strange_client: For `CLIENT_NAME`, by each authority.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        known, strange = trustme.CA(), trustme.CA()
        self.ca = self._write("ca.pem", known.cert_pem.bytes())
        self.strange_ca = self._write("strange-ca.pem", strange.cert_pem.bytes())
        self.server = self._pair("server", known.issue_cert(LOOPBACK, "localhost"))
        self.misnamed = self._pair("misnamed", known.issue_cert(OTHER_NAME))
        self.strange_server = self._pair("strange-server", strange.issue_cert(LOOPBACK, "localhost"))
        self.client = self._pair("client", known.issue_cert(CLIENT_NAME))
        self.strange_client = self._pair("strange-client", strange.issue_cert(CLIENT_NAME))

    def serving(self, pair: Pair | None = None, *, client_ca: str | None = None) -> ssl.SSLContext:
        """The TLS context of our server, from its settings; with ``client_ca`` it asks for certificates."""
        cert, key = pair or self.server
        settings = {"grpc_server_cert": cert, "grpc_server_key": key, "grpc_server_client_ca": client_ca}
        context = server_context(load_settings({}, **{name: value for name, value in settings.items() if value}))
        assert context is not None
        return context

    def calling(self, pair: Pair | None = None, *, ca: str | None = None, insecure: bool = False) -> ssl.SSLContext:
        """The TLS context of our client, from its settings; it presents the certificate of ``pair``."""
        settings = {"grpc_server_tls": "true"}
        if insecure:
            settings["grpc_client_insecure"] = "true"
        else:
            settings["grpc_client_ca"] = ca or self.ca
        if pair:
            settings |= {"grpc_client_cert": pair.cert, "grpc_client_key": pair.key}
        context = client_context(load_settings({}, **settings))
        assert context is not None
        return context

    def grpcio_serving(self, pair: Pair | None = None, *, client_ca: str | None = None) -> grpc.ServerCredentials:
        """The credentials of a stock server."""
        cert, key = (Path(part).read_bytes() for part in pair or self.server)
        return grpc.ssl_server_credentials(
            [(key, cert)],
            root_certificates=Path(client_ca).read_bytes() if client_ca else None,
            require_client_auth=client_ca is not None,
        )

    def grpcio_calling(self, pair: Pair | None = None, *, ca: str | None = None) -> grpc.ChannelCredentials:
        """The credentials of a stock client."""
        cert, key = (Path(part).read_bytes() for part in pair) if pair else (None, None)
        return grpc.ssl_channel_credentials(Path(ca or self.ca).read_bytes(), key, cert)

    def _pair(self, name: str, leaf: trustme.LeafCert) -> Pair:
        chain = b"".join(part.bytes() for part in leaf.cert_chain_pems)
        return Pair(self._write(f"{name}.pem", chain), self._write(f"{name}.key", leaf.private_key_pem.bytes()))

    def _write(self, name: str, content: bytes) -> str:
        path = self._folder / name
        path.write_bytes(content)
        return str(path)


@asynccontextmanager
async def serving_tls(server: Server, context: ssl.SSLContext) -> AsyncIterator[int]:
    """Serve over TLS while the block runs; yields the port. When the block ends, all connections end at once."""
    async with trio.open_nursery() as nursery:
        listener = await open_tcp_listener(LOOPBACK, 0, tls=context)
        await nursery.start(server.serve, listener)
        yield listener.extra(SocketAttribute.local_port)
        nursery.cancel_scope.cancel()


@asynccontextmanager
async def grpcio_tls_client(
    port: int, credentials: grpc.ChannelCredentials, *, name: str | None = None
) -> AsyncIterator[Client]:
    """A stock client's channel over TLS; ``name`` is the name it expects in the certificate, instead of the address."""
    options: list[tuple[str, int | str]] = [("grpc.use_local_subchannel_pool", 1)]
    if name is not None:
        options.append(("grpc.ssl_target_name_override", name))
    channel = grpc.secure_channel(f"{LOOPBACK}:{port}", credentials, options=options)
    try:
        yield Client(channel)
    finally:
        with trio.CancelScope(shield=True):
            await in_thread(channel.close)


class _SecureServer(GrpcioServer):
    """A server with a secure port. `GrpcioServer` starts at once, after which grpcio cannot add ports."""

    def __init__(self, credentials: grpc.ServerCredentials) -> None:
        plain = grpc.server

        def secured(*args: Any, **kwargs: Any) -> grpc.Server:
            server = plain(*args, **kwargs)
            server.add_insecure_port = partial(server.add_secure_port, server_credentials=credentials)
            return server

        with patch.object(grpc, "server", secured):
            super().__init__(0, 16)


@asynccontextmanager
async def grpcio_tls_server(credentials: grpc.ServerCredentials) -> AsyncIterator[GrpcioServer]:
    """`tests.support.grpcio.grpcio_server` over TLS."""
    server = _SecureServer(credentials)
    try:
        yield server
    finally:
        server.gate.set()
        with trio.CancelScope(shield=True):
            await in_thread(server.stop)


@asynccontextmanager
async def channel_to(
    port: int, context: ssl.SSLContext | None, *, server_hostname: str | None = None
) -> AsyncIterator[Channel]:
    """Our client, for the block; it must leak nothing."""
    async with (
        no_leaks(descriptors=False) as leaks,
        open_channel(LOOPBACK, port, tls=context, server_hostname=server_hostname) as channel,
    ):
        leaks.watch(channel)
        yield channel


async def get_reply(channel: Channel, text: str) -> str:
    """Make a unary call with our client."""
    async with channel.request("/com.gopay.echo.Server/GetReply", UNARY, Message, Response, timeout=PATIENCE) as stream:
        await stream.send_message(Message(text))
        reply = await stream.recv_message()
        assert reply is not None
        return reply.response


async def refusal(port: int, context: ssl.SSLContext | None, *, server_hostname: str | None = None) -> str:
    """Our client's error message when it cannot call; checks that the status is UNAVAILABLE."""
    async with channel_to(port, context, server_hostname=server_hostname) as channel:
        with trio.fail_after(30), pytest.raises(GRPCError) as raised:
            await get_reply(channel, "anybody?")
    assert raised.value.status is Status.UNAVAILABLE
    assert raised.value.message is not None
    assert f"{LOOPBACK}:{port}" in raised.value.message
    return raised.value.message


async def stock_refusal(client: Client) -> None:
    """Check that a stock client cannot call."""
    call = client.get_reply.future(grpcio.Message(message="anybody?"), timeout=PATIENCE)
    with pytest.raises(grpc.RpcError) as raised:
        await in_thread(call.result)
    assert raised.value.code() is grpc.StatusCode.UNAVAILABLE
