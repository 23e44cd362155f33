"""What `import echo.rpc` loads, which every program waits for, and what is left until somebody needs it."""

import subprocess
import sys

import pytest

# By the time each would take where nothing is compiled yet, or because most programs do not have what it belongs to.
NOT_LOADED = {
    "msgspec": "12 ms; the access log's",
    "google.protobuf": "60 ms; for messages, when the first is encoded",
    "idna": "5 ms; for names that are not ASCII",
    "json": "1 ms; for service configs",
    "echo.rpc.service_config": "3 ms",
    "echo.rpc.hedging": "1 ms; for service configs",
    "echo.rpc.retry_policy": "1 ms; for service configs",
    "asyncio": "40 ms; an event loop that may never run",
    "trio": "90 ms; another",
    "anyio._backends": "loads the event loop",
    "grpclib.client": "loads asyncio and h2",
    "grpclib.server": "likewise",
    "h2": "echo has HTTP/2 of its own",
    "hpack": "jh2 is faster",
    "grpc": "for code generated for grpcio",
    "betterproto": "generated code brings it along",
    "betterproto2": "likewise",
    "concurrent.futures": "asyncio's",
    "email": "HTTP/1's",
    "http.client": "HTTP/1's",
    "urllib.request": "HTTP/1's",
    "subprocess": "asyncio's",
    "multiprocessing": "the workers'",
    "datetime": "nobody's",
    "uuid": "nobody's",
    "structlog": "the command line's",
    "click": "the command line's",
    "quart": "the gateway's",
    "opentelemetry": "the telemetry's",
}


@pytest.fixture(scope="module")
def loaded() -> set[str]:
    """The modules that importing it loads, besides those that Python itself has started with."""
    source = """
import sys
before = set(sys.modules)
import echo.rpc
print(*set(sys.modules) - before)
"""
    done = subprocess.run([sys.executable, "-c", source], check=True, capture_output=True, text=True, timeout=60)
    return set(done.stdout.split())


def test_heavy_modules_are_not_loaded_before_they_are_needed(loaded: set[str]) -> None:
    assert "echo.rpc.channel" in loaded
    heavy = {name for name in loaded if any(f"{name}.".startswith(f"{heavy}.") for heavy in NOT_LOADED)}
    assert heavy == set()


def test_no_third_party_package_is_loaded_but_these(loaded: set[str]) -> None:
    packages = {name.partition(".")[0] for name in loaded} - set(sys.stdlib_module_names)
    packages.discard("_missing_stdlib_info")  # Python 3.15's own, written when it was built.
    assert packages <= {"echo", "anyio", "grpclib", "jh2", "multidict", "sniffio", "typing_extensions"}
