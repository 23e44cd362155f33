"""Streams and channels take the same arguments as grpclib's, and the public names are these."""

import inspect

import grpclib.client
import grpclib.server
import pytest

import echo.rpc
from echo.rpc import Channel, ClientStream, ServerStream
from tests.rpc.surfaces import DUNDERS, OF_INSTANCES, public


@pytest.mark.parametrize(
    ("ours", "theirs"), [(ClientStream, grpclib.client.Stream), (ServerStream, grpclib.server.Stream)]
)
def test_methods_of_streams_have_the_parameters_of_grpclib_s(ours: type, theirs: type) -> None:
    for name in public(theirs) - DUNDERS:
        theirs_member = getattr(theirs, name)
        if inspect.isfunction(theirs_member):
            our_member = getattr(ours, name)
            assert inspect.iscoroutinefunction(our_member) == inspect.iscoroutinefunction(theirs_member)
            their_parameters = inspect.signature(theirs_member).parameters
            our_parameters = inspect.signature(our_member).parameters
            for parameter in their_parameters.values():
                assert our_parameters[parameter.name].kind == parameter.kind
                assert our_parameters[parameter.name].default == parameter.default


def test_requests_are_made_as_with_grpclib() -> None:
    theirs = inspect.signature(grpclib.client.Channel.request).parameters
    ours = inspect.signature(Channel.request).parameters
    assert list(ours)[: len(theirs)] == list(theirs)
    for name, parameter in theirs.items():
        assert (ours[name].kind, ours[name].default) == (parameter.kind, parameter.default)
    for name in list(ours)[len(theirs) :]:
        assert (ours[name].kind, ours[name].default) == (inspect.Parameter.KEYWORD_ONLY, None)


def test_handlers_find_what_grpclib_documents_on_a_stream() -> None:
    source = inspect.getsource(ServerStream.__init__)
    for name in OF_INSTANCES[ServerStream]:
        assert f"self.{name}" in source or isinstance(inspect.getattr_static(ServerStream, name), property)


def test_the_public_names_are_these_and_no_others() -> None:
    assert set(echo.rpc.__all__) == {
        "Balance",
        "CallNotes",
        "CallRecord",
        "CallCredentials",
        "Cardinality",
        "Channel",
        "ChannelOptions",
        "ChannelState",
        "ClientStream",
        "Deadline",
        "GRPCError",
        "Keepalive",
        "Limits",
        "ProtocolError",
        "Servable",
        "Server",
        "ServerStream",
        "Status",
        "StreamTerminatedError",
        "bind",
        "open_channel",
        "open_channel_over",
        "open_tcp_listener",
        "open_unix_listener",
        "serve",
    }
    for name in echo.rpc.__all__:
        assert getattr(echo.rpc, name) is not None
