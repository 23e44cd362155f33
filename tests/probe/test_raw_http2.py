"""The probe's HTTP/2 client that hides nothing, against our server and against peers made by hand."""

import trio
from hyperframe.frame import GoAwayFrame, RstStreamFrame

from echo.probe.calls import BIDIRECTIONAL, SERVER_STREAM, UNARY
from echo.probe.path import Path
from echo.probe.target import Target
from tests.probe.paths import no_tls, path_through
from tests.support.quiet_clock import QuietClock
from tests.support.raw import RawConnection, raw_server
from tests.support.serving import LOOPBACK


async def test_header_lists_arrivals_and_the_end_of_a_call_are_there() -> None:
    async with path_through() as path, path.http2() as connection:
        assert await connection.ready()
        assert connection.max_streams == 100
        call = path.begin(connection, UNARY, {"set-trailer": "a=b"}, call_id="x")
        assert await call.send(path.message(UNARY), end=True)
        assert await call.until_over()
    assert call.heads[0][0][0] == ":status"
    assert dict(call.heads[-1])["grpc-status"] == "0"
    assert dict(call.heads[-1])["a"] == "b"
    assert call.arrivals
    assert call.ended is not None


async def test_windows_are_kept_to_and_reopened() -> None:
    async with path_through() as path, path.http2() as connection:
        await connection.ready()
        call = path.begin(connection, BIDIRECTIONAL, call_id="x")
        message = path.message(BIDIRECTIONAL, "x" * 30_000)
        for _ in range(100):  # 3 MB, through windows of 64 KiB.
            assert await call.send(message)
        call.half_close()
        assert await call.until_over()
        assert len(call.data) > 3_000_000


async def test_a_held_stream_takes_no_more_than_a_window_until_it_is_resumed(quiet_clock: QuietClock) -> None:
    async with path_through() as path, path.http2() as connection:
        await connection.ready()
        call = path.begin(connection, SERVER_STREAM, {"count": "100", "interval": "1ms", "size": "64KiB"}, call_id="x")
        call.held = True
        await call.send(path.message(SERVER_STREAM), end=True)
        with trio.move_on_after(5):
            await call.until_over()
        assert len(call.data) <= 1024 * 1024
        call.resume()
        assert await call.until_over()
        assert len(call.data) > 100 * 64 * 1024


async def test_a_ping_is_answered() -> None:
    async with path_through() as path, path.http2() as connection:
        await connection.ready()
        seconds = await connection.ping()
    assert seconds is not None
    assert 0 <= seconds < 5


async def test_resets_goaways_and_the_end_of_the_connection_are_noted() -> None:
    async def behave(connection: RawConnection, stream_id: int) -> None:
        await connection.send(GoAwayFrame(0, last_stream_id=1, error_code=11, additional_data=b"too_many_pings"))
        await connection.send(RstStreamFrame(stream_id, error_code=7))
        await connection.close()

    async with raw_server(behave) as port:
        path = Path(Target(LOOPBACK, port), no_tls)
        async with path.http2() as connection:
            await connection.ready()
            call = path.begin(connection, UNARY, call_id="x")
            await call.send(path.message(UNARY), end=True)
            assert await call.until_over()
            assert call.code == 7
            (goaway,) = connection.goaways
            assert (goaway.last_stream, goaway.code, goaway.debug) == (1, 11, b"too_many_pings")
            assert not await connection.until(lambda: False)
            assert "closed" in connection.ended
            assert await connection.ping() is None
