"""What the Gateway API's echo server tells its conformance tests of a call."""

from pathlib import Path
from typing import Any

import pytest

from echo.pb.gateway_api_conformance.echo_basic.grpcecho import EchoRequest, EchoResponse, GrpcEchoStub
from echo.pb.grpc.health.v1 import HealthCheckRequest, HealthCheckResponseServingStatus, HealthStub
from echo.rpc import Channel, GRPCError, Server, Status, bind, open_channel
from echo.services import echo_services
from echo.services.interop.grpc_echo import iana_name
from tests.support.interop import interop_channel
from tests.support.services import UNARY
from tests.support.serving import LOOPBACK, serving
from tests.support.tls import Certificates, channel_to, serving_tls

SERVICE = "gateway_api_conformance.echo_basic.grpcecho.GrpcEcho"


@pytest.fixture(autouse=True)
def place(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("NAMESPACE", "INGRESS_NAME", "SERVICE_NAME", "POD_NAME"):
        monkeypatch.setenv(name, f"the {name}")


@pytest.fixture
def certificates(tmp_path: Path) -> Certificates:
    return Certificates(tmp_path)


@pytest.fixture
def presented(certificates: Certificates) -> str:
    """What the client presents: its certificate and its chain."""
    return Path(certificates.client.cert).read_text()


async def echoed(channel: Channel, method: str = "Echo", metadata: Any = None) -> EchoResponse:
    path = f"/{SERVICE}/{method}"
    async with channel.request(path, UNARY, EchoRequest, EchoResponse, metadata=metadata) as stream:
        await stream.send_message(EchoRequest())
        response = await stream.recv_message()
    assert response is not None
    return response


@pytest.mark.parametrize("method", ["Echo", "EchoTwo"])
async def test_the_response_says_what_was_called_and_where(method: str) -> None:
    async with serving(Server(echo_services(interop=True).services)) as port, open_channel(LOOPBACK, port) as channel:
        assertions = (await echoed(channel, method)).assertions
    assert assertions.fully_qualified_method == f"/{SERVICE}/{method}"
    assert assertions.authority == f"{LOOPBACK}:{port}"
    context = assertions.context
    assert (context.namespace, context.ingress) == ("the NAMESPACE", "the INGRESS_NAME")
    assert (context.service_name, context.pod) == ("the SERVICE_NAME", "the POD_NAME")


async def test_the_response_has_the_request_s_headers() -> None:
    metadata = [("foo", "bar"), ("foo", "again"), ("octets-bin", b"\xab\xab\xab")]
    async with interop_channel() as channel:
        headers = (await echoed(channel, metadata=metadata)).assertions.headers
    pairs = [(header.key, header.value) for header in headers]
    assert pairs[-3:] == [("foo", "bar"), ("foo", "again"), ("octets-bin", "q6ur")]
    named = dict(pairs[:-3])
    assert set(named) == {":authority", "content-type", "user-agent", "grpc-accept-encoding"}
    assert named["content-type"] == "application/grpc"
    assert named[":authority"] == "memory"


async def test_headers_that_are_not_there_are_not_made_up() -> None:
    async with interop_channel() as channel:
        response = await echoed(channel)
    assert "foo" not in {header.key for header in response.assertions.headers}


async def test_the_request_is_in_the_response() -> None:
    async with interop_channel() as channel:
        assert bytes(await echoed(channel)).endswith(b"\x12\x00")


async def test_in_plain_text_there_are_no_tls_assertions() -> None:
    async with interop_channel() as channel:
        assertions = (await echoed(channel)).assertions
    assert b"TLS" not in bytes(assertions)
    assert not assertions.tls_assertions.version


async def test_the_response_says_what_tls_agreed_on(certificates: Certificates, presented: str) -> None:
    server = Server(echo_services(interop=True).services)
    calling = certificates.calling(certificates.client)
    async with (
        serving_tls(server, certificates.serving(client_ca=certificates.ca)) as port,
        channel_to(port, calling, server_hostname="localhost") as channel,
    ):
        tls = (await echoed(channel)).assertions.tls_assertions
    assert (tls.version, tls.negotiated_protocol, tls.server_name) == ("TLSv1.3", "h2", "localhost")
    assert tls.cipher_suite.startswith("TLS_")
    assert presented.startswith(tls.peer_certificates[0])


@pytest.mark.parametrize(
    ("openssl", "iana"),
    [
        ("ECDHE-RSA-AES128-GCM-SHA256", "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256"),
        ("ECDHE-ECDSA-AES256-GCM-SHA384", "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384"),
        ("ECDHE-ECDSA-CHACHA20-POLY1305", "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256"),
        ("TLS_AES_128_GCM_SHA256", "TLS_AES_128_GCM_SHA256"),
        ("AES128-SHA", "AES128-SHA"),
    ],
)
def test_a_cipher_suite_is_called_by_its_iana_name(openssl: str, iana: str) -> None:
    assert iana_name(openssl) == iana


async def test_echo_three_is_unimplemented() -> None:
    async with interop_channel() as channel:
        with pytest.raises(GRPCError, match=f"unknown method /{SERVICE}/EchoThree") as raised:
            await echoed(channel, "EchoThree")
    assert raised.value.status is Status.UNIMPLEMENTED


async def test_health_knows_the_service() -> None:
    async with interop_channel() as channel, bind(HealthStub, channel) as health:
        status = (await health.check(HealthCheckRequest(service=SERVICE))).status
    assert status == HealthCheckResponseServingStatus.SERVING


async def test_a_generated_stub_calls_it() -> None:
    async with interop_channel() as channel, bind(GrpcEchoStub, channel) as stub:
        assert (await stub.echo_two(EchoRequest())).assertions.fully_qualified_method.endswith("/EchoTwo")
