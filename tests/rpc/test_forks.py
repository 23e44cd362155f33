"""A process that forks: the child may call with channels of its own, whatever its parent had opened."""

import subprocess
import sys

import pytest

from tests.support.process import ROOT

# Forks before anything is opened, with a channel and a server in use, and when they are closed.
PROGRAM = """
import os
import sys

import anyio
from anyio.abc import SocketAttribute

from echo.rpc import Server, bind, open_channel, open_tcp_listener
from echo.pb.com.gopay.echo import Message, ServerStub
from echo.services import EchoService

LOOP = sys.argv[1]


async def say(channel, text):
    async with bind(ServerStub, channel) as stub:
        return (await stub.get_reply(Message(text), timeout=30)).response


async def talk(port):
    async with open_channel("127.0.0.1", port) as channel:
        return await say(channel, "child")


async def alone():
    async with anyio.create_task_group() as tasks:
        listener = await open_tcp_listener("127.0.0.1", 0)
        await tasks.start(Server([EchoService()]).serve, listener)
        reply = await talk(listener.extra(SocketAttribute.local_port))
        tasks.cancel_scope.cancel()
    return reply


def fork(main, *arguments):
    child = os.fork()
    if not child:
        os._exit(0 if anyio.run(main, *arguments, backend=LOOP) == "from server:child" else 1)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


async def main():
    async with anyio.create_task_group() as tasks:
        listener = await open_tcp_listener("127.0.0.1", 0)
        await tasks.start(Server([EchoService()]).serve, listener)
        port = listener.extra(SocketAttribute.local_port)
        async with open_channel("127.0.0.1", port) as channel:
            print(await say(channel, "before"))
            print(await anyio.to_thread.run_sync(fork, talk, port))
            print(await say(channel, "after"))
        tasks.cancel_scope.cancel()


print(fork(alone))
anyio.run(main, backend=LOOP)
print(fork(alone))
"""


@pytest.mark.parametrize("loop", ["trio", "asyncio"])
def test_parent_and_child_both_call(loop: str) -> None:
    found = subprocess.run(
        [sys.executable, "-c", PROGRAM, loop], capture_output=True, text=True, timeout=120, check=False, cwd=ROOT
    )
    assert found.stdout.splitlines() == ["0", "from server:before", "0", "from server:after", "0"], found.stderr
