"""The console page over HTTP: what is served, and with which headers."""

import json
import re
from importlib.resources import files

import pytest

from echo.advice import read_advice, read_messages
from echo.gateway.console import ADVICE, FILES, POLICY
from tests.support.gateway import gateway_to

pytestmark = pytest.mark.usefixtures("nothing_left")

FOLDER = files("echo.gateway") / "console_page"


async def test_every_file_is_served_with_its_type_under_the_policy() -> None:
    types = {"html": "text/html", "css": "text/css", "js": "text/javascript"}
    async with gateway_to(1) as gateway:  # Also without a server behind the gateway.
        for path, (name, _) in FILES.items():
            answer = await gateway.get(path)
            assert answer.status == 200
            assert answer.body == (FOLDER / name).read_bytes()
            assert answer.headers["content-type"] == f"{types[name.rpartition('.')[2]]}; charset=utf-8"
            assert answer.headers["content-security-policy"] == POLICY
            assert answer.headers["x-content-type-options"] == "nosniff"
            assert answer.headers["referrer-policy"] == "no-referrer"
            assert answer.headers["cache-control"] == "no-cache"
            assert len(answer.headers["x-request-id"]) == 36


async def test_what_the_browser_has_is_not_sent_again() -> None:
    async with gateway_to(1) as gateway:
        for path in FILES:
            tag = (await gateway.get(path)).headers["etag"]
            assert re.fullmatch(r'"[0-9a-f]{32}"', tag)
            for known in (tag, f"W/{tag}", f'"other", {tag}', "*"):
                answer = await gateway.get(path, {"If-None-Match": known})
                assert (answer.status, answer.body, answer.headers["etag"]) == (304, b"", tag)
                assert answer.headers["cache-control"] == "no-cache"
                assert "content-type" not in answer.headers
            assert (await gateway.get(path, {"If-None-Match": '"other"'})).status == 200


async def test_the_probe_s_advice_is_served_for_the_page() -> None:
    async with gateway_to(1) as gateway:
        answer = await gateway.get(ADVICE)
        known = await gateway.get(ADVICE, {"If-None-Match": answer.headers["etag"]})
    assert answer.headers["content-type"] == "application/json"
    assert json.loads(answer.body) == {"causes": read_advice(), "messages": read_messages()}
    assert (known.status, known.body) == (304, b"")


async def test_tags_differ_as_the_files_do() -> None:
    async with gateway_to(1) as gateway:
        assert len({(await gateway.get(path)).headers["etag"] for path in FILES}) == len(FILES)


async def test_below_a_prefix_the_page_s_links_lead_there() -> None:
    async with gateway_to(1) as gateway:
        plain = await gateway.get("/")
        below = await gateway.get("/", {"X-Forwarded-Prefix": "/some/where/"})
        evil = await gateway.get("/", {"X-Forwarded-Prefix": "//evil.example"})
        file = await gateway.get("/console/main.js", {"X-Forwarded-Prefix": "/some/where"})
    links = re.findall(rb'(?:href|src)="(?!data:)([^"]+)"', below.body)
    assert links == [b"/some/where/console/" + name for name in (b"console.css", b"check/check.css", b"main.js")]
    assert below.headers["content-security-policy"] == POLICY
    assert below.headers["vary"] == plain.headers["vary"] == "x-forwarded-prefix"
    assert below.headers["etag"] != plain.headers["etag"]
    assert evil.body == plain.body
    assert file.body == (FOLDER / "main.js").read_bytes()
    assert "vary" not in file.headers


async def test_head_tells_as_much_as_get_without_the_body() -> None:
    async with gateway_to(1) as gateway:
        got, told = await gateway.get("/"), await gateway.get("/", method="HEAD")
    assert (told.status, told.body) == (200, b"")
    for name in ("content-type", "content-length", "etag", "content-security-policy"):
        assert told.headers[name] == got.headers[name]


@pytest.mark.parametrize(
    "target",
    ["/index.html", "/console", "/console/", "/console/nothing.js", "/console/../console.py", "/console/%2e%2e/app.py"],
)
async def test_other_paths_are_still_not_found(target: str) -> None:
    async with gateway_to(1) as gateway:
        answer = await gateway.get(target)
    assert (answer.status, answer.headers["content-type"]) == (404, "application/json")


async def test_the_page_is_not_for_posting() -> None:
    async with gateway_to(1) as gateway:
        assert (await gateway.get("/", method="POST")).status == 405
