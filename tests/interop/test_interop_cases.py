"""gRPC's interoperability tests against our server: every case by stock grpcio, and Ruby's own client as it is."""

import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import grpc
import pytest
import trio
from grpc_health.v1 import health_pb2
from grpc_health.v1.health_pb2_grpc import HealthStub

from echo.rpc import Server
from echo.services import echo_services
from tests.support.grpcio import PATIENCE, Dynamic, grpcio_client, in_thread, message_class
from tests.support.interop_cases import (
    CASES,
    RESPONSE_SIZE,
    Stub,
    cancel_after_begin,
    custom_metadata,
    empty_unary,
    large_request,
    large_unary,
    ping_pong,
)
from tests.support.leaks import no_leaks
from tests.support.process import running
from tests.support.relay import relaying
from tests.support.ruby import RUBY, needs_ruby
from tests.support.serving import LOOPBACK, serving
from tests.support.tls import Certificates, grpcio_tls_client, serving_tls

Case = Callable[[Stub], None]

GRPCURL: Final = Path(__file__).resolve().parents[1] / "support" / "grpcurl.py"
GRPC_ECHO: Final = "gateway_api_conformance.echo_basic.grpcecho.GrpcEcho"
ADDED: Final = {"grpc.testing.TestService", "grpc.testing.UnimplementedService", GRPC_ECHO}


@asynccontextmanager
async def interop_server(certificates: Certificates | None = None, *, interop: bool = True) -> AsyncIterator[int]:
    """Our server with its interop services; gives the port. No call is left when the block ends."""
    server = Server(echo_services(interop=interop).services)
    async with (
        no_leaks(descriptors=False) as leaks,
        serving(server) if certificates is None else serving_tls(server, certificates.serving()) as port,
    ):
        leaks.watch(server)
        yield port


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)
async def test_a_stock_client_s_case_passes(case: Case) -> None:
    async with interop_server() as port, grpcio_client(port) as client:
        await in_thread(case, Stub(client.channel))


@pytest.mark.parametrize("case", [empty_unary, large_unary, ping_pong, custom_metadata], ids=lambda case: case.__name__)
async def test_a_stock_client_s_case_passes_over_tls(case: Case, certificates: Certificates) -> None:
    async with (
        interop_server(certificates) as port,
        grpcio_tls_client(port, certificates.grpcio_calling()) as client,
    ):
        await in_thread(case, Stub(client.channel))


@pytest.mark.parametrize("wanted", [True, False])
async def test_a_stock_client_gets_a_response_compressed_that_it_wants_so(wanted: bool) -> None:
    async with interop_server() as port, relaying(port) as relay, grpcio_client(relay.port) as client:
        request = large_request(response_compressed={"value": wanted})
        response: Dynamic = await in_thread(Stub(client.channel).unary, request, timeout=PATIENCE)
        assert len(response.payload.body) == RESPONSE_SIZE
        assert (relay.to_client < 10_000) is wanted


async def test_a_server_serves_on_after_calls_that_were_cancelled() -> None:
    async with interop_server() as port, grpcio_client(port) as client:
        stub = Stub(client.channel)
        for _ in range(50):
            await in_thread(cancel_after_begin, stub)
        await in_thread(large_unary, stub)


# The Gateway API's


@pytest.mark.parametrize("method", ["Echo", "EchoTwo", "EchoThree"])
async def test_a_stock_client_gets_what_the_gateway_api_s_tests_look_at(
    method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("POD_NAME", "grpc-infra-backend-v1-abc")
    monkeypatch.setenv("NAMESPACE", "gateway-conformance-infra")
    package = GRPC_ECHO.rpartition(".")[0]
    request, response = (message_class(f"{package}.Echo{kind}") for kind in ("Request", "Response"))
    async with interop_server() as port, grpcio_client(port) as client:
        call = client.channel.unary_unary(
            f"/{GRPC_ECHO}/{method}", request.SerializeToString, response.FromString
        ).future(request(), timeout=PATIENCE, metadata=[("version", "one")])
        if method == "EchoThree":
            assert (await in_thread(call.exception)).code() is grpc.StatusCode.UNIMPLEMENTED
            return
        assertions = (await in_thread(call.result)).assertions
    assert assertions.fully_qualified_method == f"/{GRPC_ECHO}/{method}"
    assert assertions.authority == f"{LOOPBACK}:{port}"
    assert assertions.context.namespace == "gateway-conformance-infra"
    assert assertions.context.pod.startswith("grpc-infra-backend-v1")
    assert [header.value for header in assertions.headers if header.key == "version"] == ["one"]
    assert not assertions.HasField("tls_assertions")


# Found by reflection, and by health


async def grpcurl(*arguments: str) -> str:
    with trio.fail_after(30):
        done = await trio.run_process([sys.executable, str(GRPCURL), "-plaintext", *arguments], capture_stdout=True)
    return done.stdout.decode()


@pytest.mark.parametrize("interop", [True, False])
async def test_the_services_are_listed_only_when_switched_on(interop: bool) -> None:
    async with interop_server(interop=interop) as port, grpcio_client(port) as client:
        listed = set((await grpcurl(f"{LOOPBACK}:{port}", "list")).split())
        request = health_pb2.HealthListRequest()
        healthy: Dynamic = await in_thread(HealthStub(client.channel).List, request, timeout=PATIENCE)
    assert listed & ADDED == set(healthy.statuses) & ADDED == (ADDED if interop else set())


async def test_echo_interop_is_the_switch() -> None:
    async with running("serve", GRPC_SERVER_BIND=LOOPBACK, GRPC_SERVER_PORT="0", ECHO_INTEROP="on") as echo:
        listed = set((await grpcurl(f"{LOOPBACK}:{await echo.grpc_port()}", "list")).split())
    assert listed >= ADDED


async def test_without_the_switch_their_methods_are_unknown() -> None:
    async with interop_server(interop=False) as port, grpcio_client(port) as client:
        with pytest.raises(grpc.RpcError) as raised:
            await in_thread(empty_unary, Stub(client.channel))
        error: Dynamic = raised.value
        assert error.code() is grpc.StatusCode.UNIMPLEMENTED


async def test_a_method_can_be_called_by_its_name_alone() -> None:
    async with interop_server() as port:
        said = await grpcurl("-d", '{"response_size":3}', f"{LOOPBACK}:{port}", "grpc.testing.TestService/UnaryCall")
    assert '"body": "AAAA"' in said


# Ruby's


RUBY_CASES: Final = (
    *("empty_unary", "large_unary", "client_compressed_unary", "client_streaming", "client_compressed_streaming"),
    *("server_streaming", "ping_pong", "empty_stream", "timeout_on_sleeping_server", "cancel_after_begin"),
    *("cancel_after_first_response", "unimplemented_method", "unimplemented_service", "status_code_and_message"),
    "custom_metadata",
)


def ruby_test_client() -> Path | None:
    """The interop client that comes with Ruby's gRPC."""
    if RUBY is None:
        return None
    script = 'puts File.join(Gem::Specification.find_by_name("grpc").gem_dir, "src/ruby/pb/test/client.rb")'
    done = subprocess.run([RUBY, "-e", script], check=False, capture_output=True, text=True)
    path = Path(done.stdout.strip())
    return path if done.returncode == 0 and path.is_file() else None


@pytest.fixture(scope="module")
def ruby_client_script() -> Path:
    path = ruby_test_client()
    if path is None:
        pytest.skip("Ruby's gRPC does not bring its interop client here")
    return path


@needs_ruby
@pytest.mark.parametrize("case", RUBY_CASES)
async def test_ruby_s_own_interop_client_passes(case: str, ruby_client_script: Path) -> None:
    async with interop_server() as port:
        await run_ruby(ruby_client_script, case, port, "--use_tls=false")


async def run_ruby(script: Path, case: str, port: int, *flags: str) -> None:
    assert RUBY is not None
    flags = (f"--server_host={LOOPBACK}", f"--server_port={port}", f"--test_case={case}", *flags)
    with trio.fail_after(60):
        done = await trio.run_process(
            [RUBY, "-W0", str(script), *flags], check=False, capture_stdout=True, capture_stderr=True
        )
    assert done.returncode == 0, done.stderr.decode()
    assert f"OK: {case}" in done.stdout.decode()
