"""A Starlette application on asyncio that calls a service: ``uvicorn examples.starlette_app:app``.

The channel is open while the application runs, and all requests share it. Starlette does not cancel a request when its
browser goes away, so the deadline limits the call.
"""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from echo.rpc import GRPCError, Status, open_channel
from examples.pb.todo.v1 import AddRequest, TodosStub

HTTP = {Status.INVALID_ARGUMENT: 400, Status.NOT_FOUND: 404, Status.UNAVAILABLE: 503, Status.DEADLINE_EXCEEDED: 504}


@asynccontextmanager
async def lifespan(app: Starlette) -> AsyncIterator[dict[str, TodosStub]]:  # noqa: ARG001 - Starlette gives it
    """Keep the channel open; it connects when the first request needs it."""
    async with open_channel(os.environ.get("TODOS", "127.0.0.1:50051")) as channel:
        yield {"todos": TodosStub(channel, timeout=5)}


async def add(request: Request) -> JSONResponse:
    """``POST /todos`` with a title as its body."""
    title = (await request.body()).decode()
    try:
        todo = await request.state.todos.add(AddRequest(title))
    except GRPCError as error:
        return JSONResponse({"error": error.message}, HTTP.get(error.status, 500))
    return JSONResponse(todo.to_dict(), 201)


app = Starlette(routes=[Route("/todos", add, methods=["POST"])], lifespan=lifespan)
