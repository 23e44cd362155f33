"""A record as JSON, with the names of its protobuf fields: numbers as numbers, and what is absent left out."""

import json
from collections.abc import Mapping
from typing import Final

from echo.pb.com.gopay.echo.evidence import Record

MAX_REPORT: Final = 4 * 1024  # Bytes of the trailer.

_TEXTS: Final = ("call_id", "attempt", "service", "method", "pod", "namespace", "node", "service_name", "ingress")
_CONNECTION: Final = ("peer", "local", "connection_id", "stream_id", "connection_age")
_TIMES: Final = ("deadline_left", "started", "first_message", "half_closed", "ended")
_COUNTS: Final = ("messages_in", "bytes_in", "messages_out", "bytes_out")
_END: Final = ("compressed_in", "pings_in", "window_stalled", "outcome", "status", "cause")


def as_json(record: Record) -> dict[str, object]:
    """The record as what ``json`` and the like take; ``tls`` and times that are absent are left out.

    ``other_attempts`` are there if there are any.
    """
    told: dict[str, object] = {name: getattr(record, name) for name in (*_TEXTS, "instance", "protocol")}
    tls = record.tls
    if tls.version:
        names = ("version", "cipher", "alpn", "sni", "peer_subject")
        told["tls"] = {name: getattr(tls, name) for name in names}
    told |= {name: getattr(record, name) for name in _CONNECTION}
    told["request_headers"] = [{"name": field.name, "value": field.value} for field in record.request_headers]
    told |= {name: value for name in _TIMES if (value := getattr(record, name)) is not None}
    told |= {name: getattr(record, name) for name in _COUNTS}
    told["message_times_in"] = list(record.message_times_in)
    told |= {name: getattr(record, name) for name in _END}
    if record.other_attempts:
        told["other_attempts"] = [as_json(other) for other in record.other_attempts]
    return told


def report(told: Mapping[str, object]) -> str:
    """What is told of a call as JSON in ASCII, of at most `MAX_REPORT` bytes: its lists as far as there is room.

    ``"truncated":true`` tells that something is missing.
    """
    text = _dumped(told)
    if len(text) <= MAX_REPORT:
        return text
    left = dict(told) | {"truncated": True}
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
        left.pop(name, None)  # They are unusually long.
    return _dumped(left)


def _fitting(told: Mapping[str, object], name: str, whole: list[object]) -> int:
    """How many items of a list there is room for."""
    low, high = 0, len(whole)
    while low < high:
        middle = (low + high + 1) // 2
        if len(_dumped({**told, name: whole[:middle]})) <= MAX_REPORT:
            low = middle
        else:
            high = middle - 1
    return low


def _dumped(told: Mapping[str, object]) -> str:
    return json.dumps(told, separators=(",", ":"))
