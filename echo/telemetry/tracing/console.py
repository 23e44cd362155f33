"""``OTEL_TRACES_EXPORTER=console``: writes each span to standard output as a line of OTLP's JSON."""

import sys
from collections.abc import Sequence

from google.protobuf.json_format import MessageToJson
from opentelemetry.proto.trace.v1.trace_pb2 import ScopeSpans

from echo.telemetry.tracing.batches import ExportError

__all__ = ["show"]


async def show(groups: Sequence[bytes]) -> None:
    """Write groups of spans.

    Raises:
        ExportError: Standard output is closed or broken.
    """
    if sys.stdout is None:
        raise ExportError("standard output is closed")
    try:
        for span in ScopeSpans.FromString(b"".join(groups)).spans:
            sys.stdout.write(MessageToJson(span, indent=None) + "\n")
        sys.stdout.flush()
    except OSError as error:
        raise ExportError(f"cannot write to standard output: {error.strerror}") from error
