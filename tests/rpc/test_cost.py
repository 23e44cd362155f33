"""What a plain unary call costs its client, counted in calls of Python functions, not measured by a clock."""

import sys
from collections import Counter
from pathlib import Path
from types import FrameType

import echo
from echo.pb.com.gopay.echo import Message, ServerStub
from echo.rpc.testing import memory_channel
from echo.services import echo_services

ROOT = str(Path(echo.__file__).parent)
CALLS = 50
# There were 61 when this was written, those of the server's codec included. Whether a feature is used is to
# be decided once for a channel or a method, so that calls without it do not pass through it.
MOST = 64
SERVERS = ("dispatch", "server", "interceptors", "observed_service")  # Modules that are not the client's.


async def test_a_call_that_uses_no_feature_passes_few_functions_of_the_client() -> None:
    counted: Counter[str] = Counter()
    clients = tuple(f"{ROOT}/{place}" for place in ("rpc/", "transport/client", "wire/client"))

    def count(frame: FrameType, event: str, _argument: object) -> None:
        code = frame.f_code
        if event == "call" and code.co_filename.startswith(clients):
            counted[f"{code.co_filename.removeprefix(ROOT)}: {code.co_qualname}"] += 1

    async with memory_channel(echo_services().services) as channel:
        stub = ServerStub(channel)
        for _ in range(3):  # The first call connects, and until the third HPACK's tables change.
            await stub.get_reply(Message("hello"))
        sys.setprofile(count)
        try:
            for _ in range(CALLS):
                await stub.get_reply(Message("hello"))
        finally:
            sys.setprofile(None)
    own = {name: number / CALLS for name, number in counted.items() if not any(server in name for server in SERVERS)}
    assert sum(own.values()) <= MOST, sorted(own.items(), key=lambda item: -item[1])  # Coroutines resumed count again.
