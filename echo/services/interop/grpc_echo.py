"""The Gateway API's ``GrpcEcho``: each response says how the call arrived, and where.

The Gateway API's conformance tests call it through the gateway they test. ``EchoThree`` is unimplemented on purpose.
"""

import re
import ssl
from base64 import b64encode
from collections.abc import Iterator, Mapping
from typing import Any, Final

from anyio.abc import ByteStream
from anyio.streams.tls import TLSAttribute
from grpclib.const import Handler

from echo.evidence import Place, tls_of
from echo.rpc import Cardinality, ServerStream
from echo.services.protobuf import Messages

PACKAGE: Final = "gateway_api_conformance.echo_basic.grpcecho"
SERVICE: Final = f"{PACKAGE}.GrpcEcho"

_OPENSSL_CIPHER: Final = re.compile(r"(ECDHE|DHE)-(ECDSA|RSA)-(?:AES(128|256)-GCM-(SHA\d+)|CHACHA20-POLY1305)")


class GrpcEcho:
    """The service.

    Args:
        messages: Has its messages.
        place: Where it runs.
    """

    def __init__(self, messages: Messages, place: Place) -> None:
        self._request = messages(f"{PACKAGE}.EchoRequest")
        self._response: Any = messages(f"{PACKAGE}.EchoResponse")
        self._context = {
            "namespace": place.namespace,
            "ingress": place.ingress,
            "service_name": place.service_name,
            "pod": place.pod,
        }

    def __mapping__(self) -> Mapping[str, Handler]:
        handler = Handler(self._echo, Cardinality.UNARY_UNARY, self._request, self._response)
        return {f"/{SERVICE}/Echo": handler, f"/{SERVICE}/EchoTwo": handler}

    async def _echo(self, stream: ServerStream[Any, Any]) -> None:
        await stream.recv_message()
        assertions = {
            "fully_qualified_method": stream.path,
            "headers": [{"key": name, "value": value} for name, value in headers_of(stream)],
            "authority": stream.request.authority,
            "context": self._context,
        }
        if (tls := tls_assertions(stream.transport)) is not None:
            assertions["tls_assertions"] = tls
        await stream.send_message(self._response(assertions=assertions, request={}))


def headers_of(stream: ServerStream[Any, Any]) -> Iterator[tuple[str, str]]:
    """The request's headers as grpc-go shows them to a handler: without those that are the transport's own.

    The values of ``-bin`` headers are in base64, as they travel.
    """
    request = stream.request
    yield ":authority", request.authority
    yield "content-type", request.content_type
    if request.user_agent is not None:
        yield "user-agent", request.user_agent
    if request.accept_encoding:
        yield "grpc-accept-encoding", request.accept_encoding
    for name, value in request.metadata.items():
        yield name, value if isinstance(value, str) else b64encode(value).decode().rstrip("=")


def tls_assertions(transport: ByteStream) -> dict[str, object] | None:
    """The negotiated TLS parameters; None in plain text. Python gives only the first client certificate."""
    tls = tls_of(transport)
    if tls is None:
        return None
    certificate = transport.extra(TLSAttribute.peer_certificate_binary, None)
    return {
        "version": tls["version"],
        "negotiated_protocol": tls["alpn"],
        "server_name": tls["sni"],
        "cipher_suite": iana_name(tls["cipher"]),
        "peer_certificates": [ssl.DER_cert_to_PEM_cert(certificate)] if certificate else [],
    }


def iana_name(cipher: str) -> str:
    """IANA's name of a cipher suite by OpenSSL's, which differs before TLS 1.3; an unknown name is left as it is."""
    found = _OPENSSL_CIPHER.fullmatch(cipher)
    if found is None:
        return cipher
    exchange, certificate, bits, digest = found.groups()
    bulk = f"AES_{bits}_GCM_{digest}" if bits else "CHACHA20_POLY1305_SHA256"
    return f"TLS_{exchange}_{certificate}_WITH_{bulk}"
