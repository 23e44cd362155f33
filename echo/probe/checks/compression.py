"""`compression`: do compressed messages arrive as they were sent?

A message to the server is compared with the server's record of it; a message from the server is examined as it
arrives, byte by byte.
"""

import struct
from typing import Final

import trio

from echo.pb.com.gopay.echo import Response
from echo.probe.asking import ask, ending, scripting_problem, succeeded
from echo.probe.calls import UNARY
from echo.probe.check import Check
from echo.probe.evidence import Record, headers_of
from echo.probe.finding import Finding, broken, inconclusive, survived
from echo.probe.http2 import Http2
from echo.probe.path import Path
from echo.rpc import GRPCError
from echo.wire import compress, decompress, encode_message

PATIENCE: Final = 2.5  # Seconds for a call.
TEXT: Final = "to be compressed, " * 100
SIZE: Final = 4096
_PREFIX: Final = struct.Struct(">BI")
_CODED: Final = "The path marks calls as compressed with a content-encoding header, which gRPC does not use."


class Compression(Check):
    """Sends a compressed message, and asks for one."""

    name = "compression"
    question = "Do compressed messages arrive as they were sent?"
    patience = 8.0
    needs = ("http2", "trailers")
    causes = ("flag-lost", "altered", "content-encoding")

    async def run(self, path: Path) -> Finding:  # noqa: D102 - as in Check
        async with path.http2() as connection:
            if (why := await scripting_problem(path, connection, within=PATIENCE)) is not None:
                return inconclusive(why)
            there = await self._there(path, connection)
            back = await self._back(path, connection)
        for one in (there, back):
            if one is not None and one.cause:
                return one
        return there or back or survived("Compressed messages arrive as they were sent, in each direction.")

    async def _there(self, path: Path, connection: Http2) -> Finding | None:
        """What is wrong with a message that we sent; None if it arrived as sent."""
        call_id = path.new_call_id()
        packed = compress("gzip", bytes(UNARY.message(TEXT)))
        call = path.begin(connection, UNARY, call_id=call_id, timeout=PATIENCE + 1.0, encoding="gzip")
        with trio.move_on_after(PATIENCE):
            await call.send(encode_message(packed, compressed=True), end=True)
            await call.until_over()
        records = await path.evidence(call_id)
        if not records:
            return inconclusive(f"What the server saw of a compressed message could not be fetched{path.hint}.")
        record = records[-1]
        if _is_coded(record):
            return broken("content-encoding", _CODED, details={"way": "request"})
        if record.messages_in and not record.compressed_in:
            return broken("flag-lost", "A compressed message arrives at the server decompressed.")
        if not succeeded(call) and not any(name == "grpc-encoding" for name, _ in headers_of(record)):
            return broken("flag-lost", "The server is not told how messages are compressed, so it cannot read them.")
        if not call.over and record.bytes_in == len(packed):
            return inconclusive(f"A compressed message arrived, but its call ended with {ending(call)}.")
        if not succeeded(call) or record.bytes_in != len(packed):
            came = "arrived changed" if succeeded(call) else f"failed with {ending(call)}"
            details = {"sent": len(packed), "arrived": record.bytes_in}
            return broken("altered", f"A compressed message to the server {came}.", details=details)
        return None

    async def _back(self, path: Path, connection: Http2) -> Finding | None:
        """What is wrong with a message from the server; None if it arrived as sent."""
        call_id = path.new_call_id()
        script = {"compress": "gzip", "size": f"{SIZE}B"}
        call = await ask(path, connection, UNARY, script, within=PATIENCE, call_id=call_id)
        fields = call.fields
        if "content-encoding" in fields:
            return broken("content-encoding", _CODED, details={"way": "response", "value": fields["content-encoding"]})
        if not succeeded(call) or len(call.data) < _PREFIX.size:
            return inconclusive(f"A call with a compressed reply ended with {ending(call)}.")
        flag, size = _PREFIX.unpack_from(call.data)
        body = bytes(call.data[_PREFIX.size :])
        records = await path.evidence(call_id) or []
        if not flag:
            # A server that is not told that we can read it does not compress.
            if records and not any(name == "grpc-accept-encoding" for name, _ in headers_of(records[-1])):
                return broken("flag-lost", "The server is not told that we can read compressed messages.")
            return broken(
                "flag-lost", "A compressed message from the server arrives decompressed, or not marked as compressed."
            )
        if fields.get("grpc-encoding") != "gzip":
            return broken("flag-lost", "We are not told how messages are compressed, so we cannot read them.")
        if size != len(body) or not _is_ours(body) or (records and records[-1].bytes_out not in (0, len(body))):
            return broken("altered", "A compressed message from the server arrives changed.")
        return None


def _is_coded(record: Record) -> bool:
    return any(name == "content-encoding" for name, _ in headers_of(record))


def _is_ours(body: bytes) -> bool:
    """Whether it is a compressed message of the size that was asked for."""
    try:
        message = decompress("gzip", body, 2 * SIZE)
    except GRPCError:
        return False
    return len(message) in (SIZE - 1, SIZE) and Response.FromString(message).success
