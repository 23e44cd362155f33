"""Scripts in a call's metadata (``x-echo-NAME``) that control the server; `echo.services.scripted` runs them.

The gateway accepts the same names and values as query parameters and headers.
"""

from echo.scripting.details import status_details
from echo.scripting.script import NAMES, PREFIX, Script, as_metadata, parse_script
from echo.scripting.values import Choice, Ending, ScriptError

__all__ = [
    "NAMES",
    "PREFIX",
    "Choice",
    "Ending",
    "Script",
    "ScriptError",
    "as_metadata",
    "parse_script",
    "status_details",
]
