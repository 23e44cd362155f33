"""The script of a request, from query parameters and ``X-Echo-NAME`` headers; see `echo.scripting`."""

from urllib.parse import parse_qsl

from hypercorn.typing import HTTPScope, WebsocketScope

from echo.gateway.metadata import MetadataList
from echo.scripting import NAMES, PREFIX, as_metadata, parse_script
from echo.settings import Settings

__all__ = ["script_of"]


def script_of(scope: HTTPScope | WebsocketScope, settings: Settings) -> tuple[MetadataList, str | None]:
    """The script of a request as metadata, and its call-id; an empty list and None for a request without a script.

    Raises:
        ScriptError: A value is invalid or out of bounds.
    """
    if not settings.echo_scripting:
        return [], None
    fields = [
        (name.decode("latin-1").removeprefix(PREFIX), value.decode("latin-1").strip())
        for name, value in scope["headers"]
        if name.startswith(b"x-echo-")
    ]
    if scope["query_string"]:
        fields += parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True, max_num_fields=None)
    fields = [(name, value) for name, value in fields if name in NAMES]
    if not fields:
        return [], None
    script = parse_script(fields, settings.grpc_max_message_size)
    return [*as_metadata(fields)], script.call_id
