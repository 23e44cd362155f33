"""The targets that a user may give: names, addresses, ports, sockets, and several of them."""

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from echo.targets import Target, join, parse_targets, split

NAMES = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,10}[a-z0-9])?(\.[a-z]{1,5}){0,3}", fullmatch=True)
PORTS = st.integers(1, 65_535)
IPV4 = st.ip_addresses(v=4).map(str)
IPV6 = st.ip_addresses(v=6).map(str)
PATHS = st.from_regex(r"/[a-zA-Z0-9_./-]{1,20}", fullmatch=True)
TARGETS = st.one_of(
    st.builds(Target, NAMES | IPV4 | IPV6, PORTS), st.builds(Target, PATHS.filter(lambda p: p[:2] != "//"), st.none())
)


@pytest.mark.parametrize(
    ("text", "targets"),
    [
        ("localhost", [Target("localhost", 8081)]),
        ("localhost:1", [Target("localhost", 1)]),
        ("10.0.0.1", [Target("10.0.0.1", 8081)]),
        ("10.0.0.1:1", [Target("10.0.0.1", 1)]),
        ("::1", [Target("::1", 8081)]),
        ("fe80::1%eth0", [Target("fe80::1%eth0", 8081)]),
        ("[::1]", [Target("::1", 8081)]),
        ("[::1]:1", [Target("::1", 1)]),
        ("a:8081,b:8082", [Target("a", 8081), Target("b", 8082)]),
        ("a, b:1 ,::1", [Target("a", 8081), Target("b", 1), Target("::1", 8081)]),
        ("a,a:8081", [Target("a", 8081)]),
        ("unix:/run/echo.sock", [Target("/run/echo.sock", None)]),
        ("unix:///run/echo.sock", [Target("/run/echo.sock", None)]),
        ("unix:echo.sock", [Target("echo.sock", None)]),
        (["a:1", "b"], [Target("a", 1), Target("b", 8081)]),
        (["unix:/with,comma"], [Target("/with,comma", None)]),
        # gRPC's forms
        ("dns:a", [Target("a", 8081)]),
        ("dns:a:1", [Target("a", 1)]),
        ("dns:///a:1", [Target("a", 1)]),
        ("dns:///[::1]:1", [Target("::1", 1)]),
        ("dns:8082", [Target("dns", 8082)]),
        ("ipv4:10.0.0.1", [Target("10.0.0.1", 8081)]),
        ("ipv4:10.0.0.1:1,10.0.0.2", [Target("10.0.0.1", 1), Target("10.0.0.2", 8081)]),
        ("ipv6:::1", [Target("::1", 8081)]),
        ("ipv6:[::1]:1,[::2]:2", [Target("::1", 1), Target("::2", 2)]),
        ("ipv4:10.0.0.1:1,dns:a,b", [Target("10.0.0.1", 1), Target("a", 8081), Target("b", 8081)]),
        (["ipv4:10.0.0.1:1,10.0.0.2:2", "a"], [Target("10.0.0.1", 1), Target("10.0.0.2", 2), Target("a", 8081)]),
        ("unix-abstract:echo", [Target("\0echo", None)]),
        ("dns:unix:1", [Target("unix", 1)]),
    ],
)
def test_valid_hosts_are_accepted(text: str | list[str], targets: list[Target]) -> None:
    assert parse_targets(text, 8081) == targets


@pytest.mark.parametrize(
    "text",
    [
        "", ",", "a,", " ", "a b", ":1", "a:", "a:0", "a:65536", "a:000001", "a:http", "a:-1", "a:+1", "a:²", "a:1:2",
        "fe80::1:65000", "[::1", "::1]", "[a]", "[a]:1", "[]:1", "[::1]1", "[::1]:", "http://a", "a/b", "user@a",
        "unix:", "unix://host/path", "unix:\0x", [], "unix:" + "x" * 108, "unix-abstract:", "unix-abstract:a\0",
        "dns:", "dns:///", "dns:a/b", "dns://a", "ipv4:", "ipv4:a", "ipv4:::1", "ipv6:10.0.0.1", "ipv4:10.0.0.1,a",
        "ipv6:[::1]:0", ["ipv4:10.0.0.1,"], "xds:///a",
    ],
)  # fmt: skip
def test_invalid_targets_are_refused_with_a_reason(text: str | list[str]) -> None:
    with pytest.raises(ValueError, match=r"HOST|no port|brackets|Unix socket|absolute path|no host|IPv"):
        parse_targets(text, 8081)


def test_a_target_with_a_dns_server_is_refused_with_a_clear_message() -> None:
    with pytest.raises(ValueError, match=r"^'dns://8.8.8.8/a' names a DNS server to ask, .*: write dns:///HOST$"):
        parse_targets("dns://8.8.8.8/a", 1)


@pytest.mark.parametrize("port", [-1, 0, 65_536])
@pytest.mark.parametrize("host", ["localhost", "::1", "[::1]"])
def test_a_port_out_of_range_is_refused(host: str, port: int) -> None:
    with pytest.raises(ValueError, match=f"'{port}' is not a port"):
        parse_targets(host, port)


@given(st.lists(TARGETS, min_size=1, max_size=5, unique=True), PORTS)
def test_targets_are_read_as_they_are_written(targets: list[Target], port: int) -> None:
    assert parse_targets(",".join(map(str, targets)), port) == targets
    assert parse_targets([str(target) for target in targets], port) == targets


@given(st.text(), PORTS)
def test_any_text_is_a_list_of_targets_or_refused(text: str, port: int) -> None:
    try:
        targets = parse_targets(text, port)
    except ValueError:
        return
    assert targets
    for target in targets:
        assert target.host
        assert target.port is None or 0 < target.port < 65_536
        assert target.at(1) == target
    assert parse_targets([str(target) for target in targets], port) == targets


@given(IPV6, PORTS)
def test_an_ipv6_address_without_brackets_is_one_whatever_it_ends_in(address: str, port: int) -> None:
    (target,) = parse_targets(address, port)
    assert ipaddress.ip_address(target.host) == ipaddress.ip_address(address)
    assert target.port == port
    assert target.authority == f"[{address}]:{port}"


@pytest.mark.parametrize(
    ("host", "text"), [("localhost", "localhost:1"), ("127.0.0.1", "127.0.0.1:1"), ("::1", "[::1]:1")]
)
def test_an_ipv6_address_with_its_port_is_in_brackets(host: str, text: str) -> None:
    assert join(host, 1) == text
    assert split(text)[0] == host


@pytest.mark.parametrize("text", ["", "a b", "http://a", "a/b", "user@a", "a:x", "::1", "[a]", "\u00e9", "a:1\n"])
def test_an_authority_is_a_host_with_an_optional_port(text: str) -> None:
    with pytest.raises(ValueError, match="is not HOST or HOST:PORT"):
        split(text)[0]
