"""``OTEL_TRACES_EXPORTER=console``: a line of JSON on standard output for each span, as OTLP's JSON has it."""

import sys
from collections.abc import Sequence

from google.protobuf.json_format import MessageToJson
from opentelemetry.proto.trace.v1.trace_pb2 import ScopeSpans

from echo.telemetry.tracing.batches import ExportError

__all__ = ["show"]


async def show(groups: Sequence[bytes]) -> None:
    """Write groups of spans.

    Raises:
        ExportError: Nobody can read standard output.
    """
    if sys.stdout is None:
        raise ExportError("standard output is closed")
    try:
        for span in ScopeSpans.FromString(b"".join(groups)).spans:
            sys.stdout.write(MessageToJson(span, indent=None) + "\n")
        sys.stdout.flush()
    except OSError as error:
        raise ExportError(f"cannot write to standard output: {error.strerror}") from error
