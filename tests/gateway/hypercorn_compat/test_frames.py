"""Frames, which wsproto and we must read and write alike; and our close frames.

Two things differ on purpose: close code 1014 passes, and nothing is read after an invalid frame.
"""

from collections.abc import Callable, Iterable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from wsproto.frame_protocol import CloseReason, Frame, FrameProtocol, Opcode, ParseFailed

from echo.gateway.hypercorn_compat.frames import FrameReader, bytes_frame, close_frame, control_frame, text_frame
from tests.support.frames import BINARY, CLOSE, CONTINUATION, PING, PONG, TEXT, parse
from tests.support.tcp import pieces

BAD_GATEWAY = 1014


def masked(opcode: int, payload: bytes, *, fin: bool = True, rsv: int = 0, key: bytes | None, wide: int = 0) -> bytes:
    """A client's frame; without a mask if ``key`` is None. ``wide``, 126 or 127, writes more length than is due."""
    size = len(payload)
    short = max(wide, size if size < 126 else 126 if size < 65_536 else 127)
    length = b"" if short < 126 else size.to_bytes(2 if short == 126 else 8)
    head = bytes([fin << 7 | rsv << 4 | opcode, short | (0 if key is None else 0x80)]) + length
    if key is None:
        return head + payload
    return head + key + bytes(byte ^ key[index % 4] for index, byte in enumerate(payload))


keys = st.binary(min_size=4, max_size=4)
lengths = st.one_of(st.integers(0, 20), st.sampled_from([124, 125, 126, 127, 300]))
long = st.sampled_from([65_534, 65_535, 65_536, 65_537])
texts = st.one_of(
    st.text(max_size=20).map(str.encode),
    lengths.map(lambda size: b"x" * size),
    st.integers(0, 80).map(lambda n: "é€𝄞".encode() * n),
)
payloads = st.one_of(texts, st.binary(max_size=20), st.binary(min_size=120, max_size=130))
controls = st.builds(masked, st.sampled_from([PING, PONG]), st.binary(max_size=125), key=keys)


@st.composite
def messages(draw: st.DrawFn) -> bytes:
    """A message in one frame or several, cut wherever it likes, with control frames in between."""
    opcode = draw(st.sampled_from([TEXT, BINARY]))
    whole = draw(texts if opcode == TEXT else payloads)
    parts = pieces(whole, draw(st.lists(st.integers(0, 1000), max_size=3))) or [b""]
    frames = []
    for number, part in enumerate(parts):
        fin = number == len(parts) - 1
        frames.append(masked(CONTINUATION if number else opcode, part, fin=fin, key=draw(keys)))
        if not fin:
            frames += draw(st.lists(controls, max_size=2))
    return b"".join(frames)


large = st.builds(
    lambda opcode, size, key: masked(opcode, b"x" * size, key=key), st.sampled_from([TEXT, BINARY]), long, keys
)
closes = st.builds(
    lambda code, reason, key: masked(CLOSE, code.to_bytes(2) + reason, key=key),
    st.one_of(st.integers(990, 1020), st.integers(2995, 3005), st.integers(4990, 5005), st.integers(0, 65_535)),
    st.one_of(st.text(max_size=10).map(str.encode), st.binary(max_size=10)),
    keys,
)
invalid = st.one_of(
    closes,
    st.builds(masked, st.just(CLOSE), st.binary(max_size=1), key=keys),
    st.builds(masked, st.integers(0, 15), payloads, fin=st.booleans(), rsv=st.integers(0, 7), key=st.none() | keys),
    st.builds(masked, st.sampled_from([TEXT, BINARY, PING]), payloads, key=keys, wide=st.sampled_from([126, 127])),
    st.builds(masked, st.just(TEXT), st.binary(max_size=10), fin=st.booleans(), key=keys),
    st.binary(max_size=30),
)
sound = st.one_of(messages(), messages(), controls)
streams = st.builds(
    lambda frames, rest: b"".join([*frames, *rest]),
    st.lists(sound, max_size=8),
    st.lists(st.one_of(invalid, sound), max_size=3),
)
cuts = st.lists(st.integers(0, 200_000), max_size=8)

Read = Callable[[bytes], Iterable[Frame]]
Heard = tuple[list[tuple[Opcode, object, bool]], int | None]


def heard(read: Read, data: list[bytes]) -> Heard:
    """Frames, what belongs together joined, and with what code it ended, if it did."""
    found: list[tuple[Opcode, object, bool]] = []
    try:
        for piece in data:
            for frame in read(piece):
                payload, last = frame.payload, found[-1] if found else None
                if last is not None and last[0] is frame.opcode and not (last[2] or frame.opcode.iscontrol()):
                    payload = last[1] + payload  # type: ignore[operator]  # Both strings, or both bytes.
                    found.pop()
                found.append((frame.opcode, payload, frame.message_finished))
                if frame.opcode is Opcode.CLOSE:
                    return found, None
    except ParseFailed as error:
        return found, int(error.code)
    return found, None


def upstream() -> Read:
    protocol = FrameProtocol(client=False, extensions=[])

    def read(data: bytes) -> Iterable[Frame]:
        protocol.receive_bytes(data)
        return protocol.received_frames()

    return read


def assert_read_alike(data: bytes, at: list[int]) -> None:
    ours = heard(FrameReader().read, pieces(data, at))
    theirs = heard(upstream(), pieces(data, at))
    if ours[0] and ours[0][-1][0] is Opcode.CLOSE and ours[0][-1][1][0] == BAD_GATEWAY:  # type: ignore[index]
        assert (theirs[0], theirs[1]) == (ours[0][:-1], CloseReason.PROTOCOL_ERROR)
        return
    # What there is of a message before the fault in it, each gives as it came; it never becomes a message.
    assert complete(ours[0]) == complete(theirs[0])
    assert ours[1] == theirs[1]


def complete(frames: list[tuple[Opcode, object, bool]]) -> list[tuple[Opcode, object, bool]]:
    return [frame for frame in frames if frame[2]]


@given(streams, cuts)
def test_whatever_comes_is_read_as_wsproto_does(data: bytes, at: list[int]) -> None:
    assert_read_alike(data, at)


@settings(max_examples=20, deadline=None)
@given(st.lists(large, min_size=1, max_size=2), sound, cuts)
def test_long_frames_too(frames: list[bytes], rest: bytes, at: list[int]) -> None:
    assert_read_alike(b"".join(frames) + rest, at)


@pytest.mark.parametrize("size", [0, 1, 2, 3, 4, 5, 124, 125, 126, 127, 65_534, 65_535, 65_536, 65_537])
@pytest.mark.parametrize("opcode", [TEXT, BINARY])
def test_every_length_is_read_in_one_piece_and_in_two(opcode: int, size: int) -> None:
    data = 2 * masked(opcode, b"x" * size, key=b"\x01\x80\xfe\x00")
    for at in ([], [1], [2], [5], [len(data) // 2], [len(data) // 2 + 1], [len(data) - 1]):
        assert_read_alike(data, at)
        found, code = heard(FrameReader().read, pieces(data, at))
        assert (len(found), code) == (2, None)


@pytest.mark.parametrize("data", [masked(CLOSE, b"\x03\xe8", key=b"mask"), masked(3, b"", key=b"mask")])
def test_nothing_is_read_behind_the_end(data: bytes) -> None:
    reader = FrameReader()
    more = masked(TEXT, b"more", key=b"mask")
    assert all(opcode is Opcode.CLOSE for opcode, _, _ in heard(reader.read, [data + more])[0])
    assert list(reader.read(more)) == []


# What we send

characters = st.text(st.characters(exclude_categories=["Cs"]))


@given(characters)
def test_a_text_is_written_as_wsproto_does(text: str) -> None:
    assert text_frame(text) == FrameProtocol(client=False, extensions=[]).send_data(text)


@given(st.binary(max_size=300))
def test_bytes_are_written_as_wsproto_does(data: bytes) -> None:
    assert bytes_frame(data) == FrameProtocol(client=False, extensions=[]).send_data(data)


@pytest.mark.parametrize("size", [0, 125, 126, 65_535, 65_536])
def test_every_length_is_written_as_wsproto_does(size: int) -> None:
    assert text_frame("x" * size) == FrameProtocol(client=False, extensions=[]).send_data("x" * size)


@given(st.binary(max_size=125))
def test_pings_and_pongs_are_written_as_wsproto_does(payload: bytes) -> None:
    protocol = FrameProtocol(client=False, extensions=[])
    assert control_frame(Opcode.PING, payload) == protocol.ping(payload)
    assert control_frame(Opcode.PONG, payload) == protocol.pong(payload)


@given(st.one_of(st.sampled_from(list(CloseReason)), st.integers(3000, 4999)), st.none() | characters)
def test_a_close_frame_is_written_as_wsproto_does(code: int, reason: str | None) -> None:
    if code == CloseReason.NO_STATUS_RCVD:  # wsproto would not have a reason without a code.
        reason = None
    assert close_frame(code, reason) == FrameProtocol(client=False, extensions=[]).close(code, reason)


@pytest.mark.parametrize("code", [BAD_GATEWAY, 1004])
def test_codes_that_wsproto_does_not_know(code: int) -> None:
    assert parse(close_frame(code, "why")) == (CLOSE, (code if code == BAD_GATEWAY else 1000).to_bytes(2) + b"why", b"")


@pytest.mark.parametrize("character", ["x", "é", "€", "𝄞"])
def test_a_reason_is_cut_to_fit_between_characters(character: str) -> None:
    for padding in range(4):
        reason = "." * padding + 200 * character
        parsed = parse(close_frame(1000, reason))
        assert parsed is not None
        text = parsed[1][2:].decode()
        assert reason.startswith(text)
        assert 123 - 4 < len(text.encode()) <= 123
