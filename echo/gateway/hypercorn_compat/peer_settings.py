"""Bounds what a client's SETTINGS make the gateway keep.

Upstream: h2 keeps every setting that it does not know; there are 65,000 numbers for them, which take 57 MB of one
connection. And HPACK's table for responses may become as large as the client says: it is searched for each header, and
with a request id in each response it grows for as long as the connection lives.
"""

from h2.settings import SettingCodes, Settings
from hpack import Encoder

from echo.wire.hpack import MAX_TABLE_SIZE


class BoundedEncoder(Encoder):
    """HPACK's encoder, with a table of at most `MAX_TABLE_SIZE` bytes."""

    @property
    def header_table_size(self) -> int:
        """The size of the table in bytes."""
        return self.header_table.maxsize

    @header_table_size.setter
    def header_table_size(self, value: int) -> None:
        size = min(value, MAX_TABLE_SIZE)
        self.header_table.maxsize = size
        if self.header_table.resized:
            self.table_size_changes.append(size)


def forget_unknown(settings: Settings) -> None:
    """Forget what h2 does not know, which is to be ignored (RFC 9113 §6.5.2)."""
    for code in list(settings):
        if not isinstance(code, SettingCodes):
            del settings[code]
