"""Streams and channels have the same public interface as grpclib's."""

import inspect

import grpclib.client
import grpclib.server
import pytest

import echo.rpc
from echo.rpc import Channel, ClientStream, ServerStream

# Attributes that instances get in __init__, which classes do not show.
INSTANCE_ATTRIBUTES: dict[type, set[str]] = {ServerStream: {"metadata", "deadline", "user_agent", "peer"}}


def public(cls: type) -> set[str]:
    return {name for name in dir(cls) if not name.startswith("_")}


@pytest.mark.parametrize(
    ("ours", "theirs"), [(ClientStream, grpclib.client.Stream), (ServerStream, grpclib.server.Stream)]
)
def test_streams_have_every_public_name_and_parameter_of_grpclib_s(ours: type, theirs: type) -> None:
    names = public(ours) | set(inspect.get_annotations(ours)) | INSTANCE_ATTRIBUTES.get(ours, set())
    assert public(theirs) - names == set()
    for name in public(theirs):
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
    for name in INSTANCE_ATTRIBUTES[ServerStream]:
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
