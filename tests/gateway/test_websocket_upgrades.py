"""What is checked before a WebSocket's upgrade, and what its response carries."""

import pytest

from tests.gateway.streaming import BIDIRECTIONAL, echoed, hello, without_time
from tests.support.gateway import running_gateway
from tests.support.websocket import Rejected, open_websocket

pytestmark = pytest.mark.usefixtures("nothing_left")


@pytest.mark.parametrize(
    ("variables", "origin", "accepted"),
    [
        ({}, "http://gateway.test", True),
        ({}, "http://evil.test", False),
        ({}, "null", False),
        ({"HTTP_ALLOWED_ORIGINS": "https://app.test"}, "https://app.test", True),
        ({"HTTP_ALLOWED_ORIGINS": "https://app.test"}, "https://other.test", False),
        ({"HTTP_ALLOWED_ORIGINS": "*"}, "https://other.test", True),
    ],
)
async def test_origins_are_checked_before_the_upgrade(variables: dict[str, str], origin: str, accepted: bool) -> None:
    async with running_gateway(None, limits=None, **variables) as gateway:
        if accepted:
            async with open_websocket(gateway.port, BIDIRECTIONAL, [("Origin", origin)]) as socket:
                await socket.send(hello())
                assert without_time(await socket.receive()) == echoed("hi", 1)
        else:
            with pytest.raises(Rejected) as rejected:
                async with open_websocket(gateway.port, BIDIRECTIONAL, [("Origin", origin)]):
                    pass
            assert rejected.value.status == 403


async def test_a_malformed_deadline_is_refused_before_the_upgrade() -> None:
    async with running_gateway() as gateway:
        with pytest.raises(Rejected) as rejected:
            async with open_websocket(gateway.port, BIDIRECTIONAL, [("Grpc-Timeout", "soon")]):
                pass
        assert rejected.value.status == 400
        assert b'"status":"INVALID_ARGUMENT"' in rejected.value.body


async def test_unknown_routes_are_refused_before_the_upgrade() -> None:
    async with running_gateway() as gateway:
        with pytest.raises(Rejected) as rejected:
            async with open_websocket(gateway.port, "/ws/stream/nothing"):
                pass
        assert rejected.value.status == 404


async def test_the_request_id_comes_back_with_the_upgrade() -> None:
    async with (
        running_gateway() as gateway,
        open_websocket(gateway.port, BIDIRECTIONAL, [("X-Request-Id", "mine")]) as socket,
    ):
        assert socket.headers["x-request-id"] == "mine"
