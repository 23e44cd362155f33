"""What the settings make of the server's listening sockets, in virtual time."""

from pathlib import Path

import pytest
import trio
import trio.testing

from echo.cli.programs import open_backend
from echo.settings import load_settings
from tests.support.quiet_clock import QuietClock
from tests.support.tls import Certificates


@pytest.mark.parametrize("where", ["tcp", "unix"])
@pytest.mark.parametrize("tls", [True, False])
async def test_a_silent_client_is_closed_after_the_handshake_timeout(
    where: str, tls: bool, tmp_path: Path, quiet_clock: QuietClock
) -> None:
    path = tmp_path / "echo.sock"
    settings = {
        "GRPC_SERVER_BIND": "127.0.0.1" if where == "tcp" else f"unix:{path}",
        "GRPC_SERVER_PORT": "0",
        "GRPC_SERVER_HANDSHAKE_TIMEOUT": "3s",
    }
    if tls:
        certificates = Certificates(tmp_path)
        settings |= {"GRPC_SERVER_CERT": certificates.server.cert, "GRPC_SERVER_KEY": certificates.server.key}
    async with open_backend(load_settings(settings)) as backend:
        if backend.port is None:
            stream = await trio.open_unix_socket(str(path))
        else:
            stream = await trio.open_tcp_stream("127.0.0.1", backend.port)
        began = trio.current_time()
        async with stream:
            try:
                while await stream.receive_some():
                    pass
            except trio.BrokenResourceError:
                pass
        assert trio.current_time() - began == pytest.approx(3, abs=0.5)
        await backend.drain(0)


async def test_a_server_without_a_network_address_has_its_health_port_everywhere(tmp_path: Path) -> None:
    settings = load_settings({"GRPC_SERVER_BIND": f"unix:{tmp_path / 'echo.sock'}", "GRPC_HEALTH_PORT": "0"})
    async with open_backend(settings) as backend:
        assert backend.port is None
        assert backend.health_port is not None
        for address in ("127.0.0.1", "127.0.0.2"):
            await (await trio.open_tcp_stream(address, backend.health_port)).aclose()
        await backend.drain(0)
