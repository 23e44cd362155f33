"""Records stay within their bounds, whatever is called and however often."""

import gc
import tracemalloc
import weakref

import pytest
import trio
from anyio.abc import ByteStream

from echo.evidence import Recorder
from echo.evidence.recorder import MAX_ATTEMPTS, MAX_BYTES, MAX_RECORDS
from echo.transport import ServerCall, ServerSession
from echo.wire import Limits, encode_message
from tests.support.received import received

PATH = "/com.gopay.echo.Server/GetReply"
FIELDS = [(b":path", PATH.encode()), (b"te", b"trailers"), (b"user-agent", b"test")]


async def never(call: ServerCall) -> None:
    raise AssertionError("nobody is to serve it")


class Nowhere(ByteStream):
    """A stream that is never used."""

    async def send(self, item: bytes) -> None:
        raise NotImplementedError

    async def receive(self, max_bytes: int = 65_536) -> bytes:
        raise NotImplementedError

    async def send_eof(self) -> None:
        raise NotImplementedError

    async def aclose(self) -> None:
        raise NotImplementedError


class Calls:
    """Makes calls that nobody serves."""

    def __init__(self) -> None:
        self.session = ServerSession(Nowhere(), never, Limits(), None)

    def new(self) -> ServerCall:
        call = ServerCall(self.session, 1, 4_000_000, 65_535, 65_535)
        call.begin(received(PATH), trio.current_time())
        return call


def filled(recorder: Recorder, count: int, fields: list[tuple[bytes, bytes]] = FIELDS) -> None:
    calls = Calls()
    for number in range(count):
        recorder.begin(calls.new(), fields, f"call-{number}").end()


async def test_the_last_ten_thousand_are_kept() -> None:
    recorder = Recorder()
    filled(recorder, MAX_RECORDS + 50)
    assert len(recorder) == MAX_RECORDS
    assert recorder.attempts("call-49") == ()
    assert len(recorder.attempts("call-50")) == 1
    assert recorder.size < MAX_BYTES


@pytest.mark.slow
async def test_a_hundred_thousand_call_ids_occupy_no_more_than_ten_thousand() -> None:
    recorder = Recorder()
    filled(recorder, 10 * MAX_RECORDS)
    assert len(recorder) == MAX_RECORDS
    assert recorder.size < MAX_BYTES


async def test_bytes_are_bounded_too() -> None:
    recorder = Recorder(max_bytes=1_000_000)
    filled(recorder, 500, [*FIELDS, (b"x-long", b"v" * 10_000)])
    assert recorder.size <= 1_000_000
    assert 60 < len(recorder) < 75


async def test_what_arrives_later_counts_as_well() -> None:
    recorder = Recorder(max_bytes=100_000)
    calls = Calls()
    many = [recorder.begin(calls.new(), FIELDS, f"call-{number}") for number in range(19)]
    last = calls.new()
    recorder.begin(last, FIELDS, "last")
    assert len(recorder) == 20
    last.messages.feed(encode_message(b"x") * 5_000)
    assert len(recorder.attempts("last")) == 1
    assert len(recorder) < 20
    assert recorder.size <= 100_000
    for recording in many:
        recording.end()  # Of those that are not kept any more, too.


async def test_headers_are_kept_up_to_16_kib() -> None:
    recorder = Recorder()
    fields = [(b"x-%d" % number, b"v" * 1_000) for number in range(30)]
    told = recorder.begin(Calls().new(), fields, "a").record()
    kept = told["request_headers"]
    assert isinstance(kept, list)
    assert len(kept) == 16


async def test_the_size_that_is_counted_is_about_what_is_occupied() -> None:
    recorder = Recorder()
    calls = Calls()
    filled(recorder, 10)
    for fields in (FIELDS, [*FIELDS, *((b"x-%d" % number, b"some value") for number in range(60))]):
        gc.collect()
        counted = recorder.size
        tracemalloc.start()
        try:
            for number in range(30):
                call = calls.new()
                recording = recorder.begin(call, [(bytes(name), bytes(value)) for name, value in fields], f"m-{number}")
                call.messages.feed(encode_message(b"x") * 1_000)
                recording.end()
                del call, recording
            gc.collect()
            occupied = tracemalloc.get_traced_memory()[0]
        finally:
            tracemalloc.stop()
        assert occupied < 1.1 * (recorder.size - counted)


async def test_attempts_are_numbered_and_the_latest_ones_kept() -> None:
    recorder = Recorder()
    calls = Calls()
    for _ in range(MAX_ATTEMPTS + 20):
        recorder.begin(calls.new(), FIELDS, "a").end()
    numbers = [recording.attempt for recording in recorder.attempts("a")]
    assert numbers == list(range(21, MAX_ATTEMPTS + 21))
    assert len(recorder) == MAX_ATTEMPTS


async def test_what_is_not_to_be_kept_is_not() -> None:
    recorder = Recorder()
    recorder.begin(Calls().new(), FIELDS).end()
    assert (len(recorder), recorder.size, recorder.attempts("")) == (0, 0, ())


async def test_a_call_whose_record_is_gone_goes_on() -> None:
    recorder = Recorder(max_records=1)
    calls = Calls()
    call = calls.new()
    recording = recorder.begin(call, FIELDS, "a")
    recorder.begin(calls.new(), FIELDS, "b")
    assert recorder.attempts("a") == ()
    call.messages.feed(encode_message(b"x"))
    recording.half_closed()
    recording.end()
    assert recording.record()["messages_in"] == 1
    assert recorder.size == recorder.attempts("b")[0].size


async def test_a_recording_lets_go_of_its_call() -> None:
    call = Calls().new()
    recording = Recorder().begin(call, FIELDS, "a")
    recording.end()
    session = weakref.ref(call.session)
    del call
    gc.collect()
    assert session() is None
    assert recording.over
