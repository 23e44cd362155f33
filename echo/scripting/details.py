"""The ``google.rpc.Status`` of a scripted ending."""

from typing import Final

from echo.pb.google.rpc import ErrorInfo
from echo.rpc.error_details import ErrorDetails
from echo.scripting.values import Ending

_DETAILS: Final = ErrorDetails()


def status_details(ending: Ending) -> bytes:
    """Encode a ``google.rpc.Status`` with the ending's code and message and one ``google.rpc.ErrorInfo`` as detail."""
    message = (ending.message or "").encode(errors="replace").decode()  # Without halves of surrogate pairs.
    return _DETAILS.encode(ending.status, message, [ErrorInfo("SCRIPTED", "echo")])
