"""nginx, haproxy and envoy in front of our servers: real unprivileged processes, with all their files in one folder.

Their configurations are written by `tests.support.proxy_configs`.
"""

import os
import signal
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager
from functools import partial
from pathlib import Path
from subprocess import DEVNULL
from typing import Final

import pytest
import trio
import trio.testing

from echo.rpc import Server
from tests.support.leaks import no_leaks
from tests.support.proxy_configs import Front, Write, envoy_config, haproxy_config, nginx_config, program
from tests.support.recording import Recorder
from tests.support.serving import LOOPBACK, serving
from tests.support.tcp import reserved_port
from tests.support.tls import Certificates, serving_tls

PATIENCE: Final = 60.0  # Seconds until a proxy must listen. envoy takes one or two on an idle machine.

MAKES: Final[dict[str, Write]] = {"nginx": nginx_config, "haproxy": haproxy_config, "envoy": envoy_config}


def installed(make: str) -> bool:
    return program(make) is not None


EACH_PROXY: Final = pytest.mark.parametrize(
    "make",
    [
        pytest.param(make, marks=pytest.mark.third_party(partial(installed, make), reason=f"{make} is not installed"))
        for make in MAKES
    ],
)


class Proxy:
    """A proxy on ports that stay reserved while it is down.

    Attributes:
        ports: Where it listens.
    """

    def __init__(self, configure: Callable[[Sequence[int], Path], list[str]], folder: Path, ports: int = 1) -> None:
        self._reserved = ExitStack()
        self.ports: Sequence[int] = [self._reserved.enter_context(reserved_port()) for _ in range(ports)]
        self._command = configure(self.ports, folder)
        self._folder = folder
        self._process: trio.Process | None = None

    @property
    def port(self) -> int:
        """The first of the ports."""
        return self.ports[0]

    @property
    def log(self) -> str:
        """Its log."""
        return (self._folder / "log").read_text(errors="replace")

    async def start(self) -> None:
        """Start it; returns once it accepts connections."""
        assert self._process is None
        with (self._folder / "log").open("ab") as log:
            self._process = await trio.lowlevel.open_process(
                self._command, stdin=DEVNULL, stdout=log, stderr=log, cwd=str(self._folder), env={**os.environ}
            )
        with trio.move_on_after(PATIENCE):
            while self._process.poll() is None:
                try:
                    for port in self.ports:
                        await (await trio.open_tcp_stream(LOOPBACK, port)).aclose()
                except OSError:
                    await trio.testing.wait_all_tasks_blocked(0.01)
                else:
                    return
        raise AssertionError(f"{self._command} does not listen: {self.log}")

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to its process and no other."""
        assert self._process is not None
        self._process.send_signal(number)

    async def ended(self) -> int:
        """Wait until it ends by itself; returns its exit status."""
        assert self._process is not None
        with trio.fail_after(PATIENCE):
            return await self._process.wait()

    async def kill(self) -> None:
        """Kill it; returns once it is gone."""
        if self._process is not None:
            self._process.kill()
            with trio.CancelScope(shield=True):
                await self._process.wait()
            self._process = None

    def release(self) -> None:
        """Release the ports."""
        self._reserved.close()


@asynccontextmanager
async def proxied(make: str, front: Front, folder: Path) -> AsyncIterator[Proxy]:
    """A running proxy, for the block.

    Args:
        make: Which, of `MAKES`.
        front: What it is to do.
        folder: Where all its files go.
    """
    async with running_proxy(Proxy(lambda ports, into: MAKES[make](front, ports[0], into), folder)) as proxy:
        yield proxy


@asynccontextmanager
async def running_proxy(proxy: Proxy) -> AsyncIterator[Proxy]:
    """Run this proxy while the block runs, and release its ports afterwards."""
    try:
        await proxy.start()
        yield proxy
    finally:
        await proxy.kill()
        proxy.release()
        sys.stderr.write(proxy.log)  # pytest shows this if a test fails.


def kernel_buffers() -> int:
    """The bytes that the kernel may buffer between the two ends of a connection: the sizes that buffers may grow to."""
    limits = (Path(f"/proc/sys/net/ipv4/tcp_{kind}").read_text() for kind in ("rmem", "wmem"))
    return sum(int(limit.split()[2]) for limit in limits)


class Behind:
    """Our servers behind a proxy, each with a recorder.

    Attributes:
        proxy: The proxy.
        servers: The servers, in the order that the proxy knows them.
        recorders: What they serve.
    """

    proxy: Proxy

    def __init__(self, servers: int) -> None:
        self.recorders = [Recorder() for _ in range(servers)]
        self.servers = [Server([recorder]) for recorder in self.recorders]

    @property
    def port(self) -> int:
        """The port of the proxy."""
        return self.proxy.port

    @property
    def recorder(self) -> Recorder:
        """The recorder of the first server."""
        return self.recorders[0]

    @property
    def server(self) -> Server:
        """The first server."""
        return self.servers[0]


@asynccontextmanager
async def behind(
    make: str,
    folder: Path,
    *,
    servers: int = 1,
    certificates: Certificates | None = None,
    location: str = "",
) -> AsyncIterator[Behind]:
    """Servers with a proxy of this make in front of them while the block runs. They must leak nothing.

    Args:
        make: Which proxy.
        folder: Where its files go.
        servers: How many servers.
        certificates: With them all is TLS, on both sides of the proxy.
        location: What nginx does with all requests, in its own language.
    """
    everything = Behind(servers)
    async with no_leaks(descriptors=False) as leaks, AsyncExitStack() as stack:
        leaks.watch(*everything.servers)
        ports = []
        for server in everything.servers:
            context = serving_tls(server, certificates.serving()) if certificates else serving(server)
            ports.append(await stack.enter_async_context(context))
        shows, trusts = (certificates.server, certificates.ca) if certificates else (None, None)
        front = Front(
            tuple(ports), shows=shows, trusts=trusts, locations=f"location / {{ {location} }}" if location else ""
        )
        everything.proxy = await stack.enter_async_context(proxied(make, front, folder))
        yield everything
