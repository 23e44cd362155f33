"""What the library of HPACK in Rust may raise."""

import pytest

from echo.wire.errors import PeerConnectionError
from echo.wire.frames import ErrorCode
from echo.wire.hpack import Decoder


class PanicException(BaseException):
    """As PyO3 raises it for a panic of Rust."""


class Failing:
    def __init__(self, error: BaseException) -> None:
        self._error = error

    def decode(self, *_: object) -> object:
        raise self._error


def decode_failing(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    decoder = Decoder(1_000)
    monkeypatch.setattr(decoder, "_decoder", Failing(error))
    decoder.decode(b"\x82")


def test_a_panic_ends_the_connection_and_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(PeerConnectionError, match="the decoder panicked") as raised:
        decode_failing(monkeypatch, PanicException())
    assert raised.value.error_code == ErrorCode.COMPRESSION_ERROR


def test_ctrl_c_is_not_taken_for_a_panic(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(KeyboardInterrupt):
        decode_failing(monkeypatch, KeyboardInterrupt())
