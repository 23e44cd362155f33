"""What the benchmark measures when asked for a part of it."""

from collections.abc import Mapping

import pytest

from tests.bench import calling, growth, memory, relays, selection, servers, telemetry
from tests.bench.figures import Plan
from tests.bench.goals import GOALS
from tests.bench.memory import Span
from tests.bench.selection import Scale


def test_figures_go_by_short_names_and_parts_by_theirs() -> None:
    assert selection.figures("unary,client") == ["unary", "client"]
    assert selection.figures("memory,stream") == ["idle", "idle-websocket", "stream"]
    with pytest.raises(ValueError, match="'dance' is not one of unary, unary-mesh, "):
        selection.figures("unary,dance")


def test_peers_go_by_short_names_and_ours_is_always_there() -> None:
    assert selection.peers("grpclib,ours") == ["echo", "grpclib + protobuf"]
    assert selection.peers("grpcio") == ["echo", "grpcio.aio"]
    with pytest.raises(ValueError, match="'twisted' is not one of ours, "):
        selection.peers("twisted")


def test_every_figure_has_a_short_name_and_belongs_to_a_part() -> None:
    named = {what for all_of in selection.FIGURES.values() for what in all_of}
    assert named == {
        *servers.LOADS,
        *calling.ORDERS,
        *relays.LOADS,
        *growth.LOADS,
        memory.STREAM,
        memory.WEBSOCKET,
        *telemetry.LOADS,
    }
    assert [name for all_of in selection.PARTS.values() for name in all_of] == list(selection.FIGURES)


@pytest.mark.slow
def test_a_part_is_measured_of_the_peers_that_were_asked_for_and_tells_of_its_goals() -> None:
    scale = Scale(Plan(rounds=2, seconds=0.01), (1, 100), Span((100, 200), (1, 2)))
    wanted = selection.figures("unary-mesh,pingpong,client,fanout,idle")
    results = selection.measure(scale, wanted, selection.peers("ours,grpclib"))
    pair = ["echo", "grpclib + protobuf"]
    assert measured(results.servers) == dict.fromkeys((servers.PING_PONG, servers.UNARY, servers.UNARY_MESH), pair)
    assert measured(results.clients) == {calling.UNARY: pair}
    assert measured(results.growth) == {growth.BURSTS: ["1", "100"]}
    assert measured(results.memory) == {memory.STREAM: pair}
    assert not results.gateways
    assert len([goal for goal in GOALS if goal.row(results)]) == 8


def measured(found: Mapping[str, Mapping[str, object]]) -> dict[str, list[str]]:
    """By figure, the peers of which there is something."""
    return {what: list(by_peer) for what, by_peer in found.items()}
