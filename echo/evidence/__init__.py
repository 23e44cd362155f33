"""Records of calls as the server saw them, made while they run, bounded in number and size, as protobuf and as JSON.

`Recorder` keeps the records. `echo.services` decides which calls are recorded, and serves the records.
"""

from echo.evidence.connection import tls_of
from echo.evidence.headers import kept_headers
from echo.evidence.instance import INSTANCE, Place
from echo.evidence.json import MAX_REPORT, as_json, report
from echo.evidence.recorder import Recorder
from echo.evidence.recording import Recording

__all__ = ["INSTANCE", "MAX_REPORT", "Place", "Recorder", "Recording", "as_json", "kept_headers", "report", "tls_of"]
