"""Backpressure end to end: who does not read holds up who sends, at a bounded number of bytes in between, both ways.

What is bounded is what lies between the two ends: the windows and buffers of gateway and server, of a few hundred KiB,
and the kernel's socket buffers, which are made small where the test can, and are counted where it can't.
"""

import json
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Final, Protocol

import pytest
import trio
import trio.testing

from echo.pb.com.gopay.echo.streaming import StreamingServerBase, StreamMessage, StreamResponse
from tests.support.frames import TEXT, frame
from tests.support.gateway import gateway_to, running_gateway
from tests.support.http2 import open_http2, websocket_over
from tests.support.relay import Relay
from tests.support.streams import HELLO, Patient
from tests.support.websocket import Closed, open_websocket
