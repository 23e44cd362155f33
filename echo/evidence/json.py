"""A record as JSON, with its protobuf field names: numbers stay numbers, absent fields are left out."""

import json
from collections.abc import Mapping
from typing import Final

from echo.pb.com.gopay.echo.evidence import Record

MAX_REPORT: Final = 4 * 1024  # Bytes of the trailer's value.

_TEXTS: Final = ("call_id", "attempt", "service", "method", "pod", "namespace", "node", "service_name", "ingress")
_CONNECTION: Final = ("peer", "local", "connection_id", "stream_id", "connection_age")
_TIMES: Final = ("deadline_left", "started", "first_message", "half_closed", "ended")
_COUNTS: Final = ("messages_in", "bytes_in", "messages_out", "bytes_out")
_END: Final = ("compressed_in", "pings_in", "window_stalled", "outcome", "status", "cause")


def as_json(record: Record) -> dict[str, object]:
    """The record as a dictionary for a JSON encoder, without absent times, ``tls`` and ``other_attempts``."""
    fields: dict[str, object] = {name: getattr(record, name) for name in (*_TEXTS, "instance", "protocol")}
    tls = record.tls
    if tls.version:
        names = ("version", "cipher", "alpn", "sni", "peer_subject")
        fields["tls"] = {name: getattr(tls, name) for name in names}
    fields |= {name: getattr(record, name) for name in _CONNECTION}
    fields["request_headers"] = [{"name": field.name, "value": field.value} for field in record.request_headers]
    fields |= {name: value for name in _TIMES if (value := getattr(record, name)) is not None}
    fields |= {name: getattr(record, name) for name in _COUNTS}
    fields["message_times_in"] = list(record.message_times_in)
    fields |= {name: getattr(record, name) for name in _END}
    if record.other_attempts:
        fields["other_attempts"] = [as_json(other) for other in record.other_attempts]
    return fields


def report(record: Mapping[str, object]) -> str:
    """A record's fields as ASCII JSON of at most `MAX_REPORT` bytes; lists are cut to fit.

    ``"truncated":true`` is added if anything is missing.
    """
    text = _dumped(record)
    if len(text) <= MAX_REPORT:
        return text
    left = dict(record) | {"truncated": True}
    for name in ("message_times_in", "request_headers"):
        whole = left[name]
        assert isinstance(whole, list)
        fitting = _fitting(left, name, whole)
        left[name] = whole[:fitting]
        if fitting:
            return _dumped(left)
    for name in ("cause", "tls", "pod", "namespace", "node", "service_name", "ingress", "peer", "local"):
        if len(_dumped(left)) <= MAX_REPORT:
            break
        left.pop(name, None)  # These are rarely so long.
    return _dumped(left)


def _fitting(record: Mapping[str, object], name: str, whole: list[object]) -> int:
    """How many items of the list fit."""
    low, high = 0, len(whole)
    while low < high:
        middle = (low + high + 1) // 2
        if len(_dumped({**record, name: whole[:middle]})) <= MAX_REPORT:
            low = middle
        else:
            high = middle - 1
    return low


def _dumped(record: Mapping[str, object]) -> str:
    return json.dumps(record, separators=(",", ":"))
