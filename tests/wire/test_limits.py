"""The default limits of a server and a channel. Users rely on them, so a change has to be announced."""

import math
from dataclasses import asdict

from echo.wire.limits import Limits


def test_the_limits_by_default() -> None:
    assert asdict(Limits()) == {
        "max_message_size": 4_194_304,
        "max_concurrent_streams": 100,
        "max_header_list_size": 16_384,
        "stream_window": 65_536,
        "connection_window": 1_048_576,
        "max_unsent": 65_536,
        "max_output": 262_144,
        "handshake_timeout": 20,
        "write_timeout": 20,
        "window_timeout": 300,
        "flood_burst": 1_000,
        "flood_rate": 100,
        "min_ping_interval": 300,
        "max_connection_idle": math.inf,
        "max_connection_age": math.inf,
        "max_connection_age_grace": math.inf,
    }
