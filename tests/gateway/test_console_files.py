"""The files of the console page: what they may hold, and that a wheel holds them."""

import re
import subprocess
import sys
import zipfile
from importlib.resources import files
from pathlib import Path
from urllib.parse import urljoin

import pytest

from echo.gateway.console import FILES, POLICY, prefix_of
from tests.support.process import ROOT

FOLDER = Path(str(files("echo.gateway"))) / "console_page"
HTML = (FOLDER / "index.html").read_text()

# SVG's name for itself is an address that nobody follows.
NAMES = {"http://www.w3.org/2000/svg"}


def test_the_policy_allows_nothing_from_elsewhere_and_nothing_inline() -> None:
    rules = dict(rule.split(" ", 1) for rule in POLICY.split("; "))
    assert rules == {
        "default-src": "'none'",
        "script-src": "'self'",
        "style-src": "'self'",
        "connect-src": "'self'",
        "img-src": "'self' data:",
        "base-uri": "'none'",
        "form-action": "'none'",
        "frame-ancestors": "'none'",
        "require-trusted-types-for": "'script'",
    }


def test_every_file_of_the_folder_is_served() -> None:
    found = {file.relative_to(FOLDER).as_posix() for file in FOLDER.rglob("*") if file.is_file()}
    assert {name for name, _ in FILES.values()} == found


@pytest.mark.parametrize("name", [name for name, _ in FILES.values()])
def test_no_file_names_an_address_elsewhere(name: str) -> None:
    text = (FOLDER / name).read_text()
    assert set(re.findall(r"(?:https?:)?//[a-z0-9][\w.-]*\.[a-z]{2,}[\w/.-]*", text)) <= NAMES
    assert "@import" not in text


def test_no_signal_is_made_that_a_browser_may_collect_while_a_response_is_read() -> None:
    scripts = [name for name, _ in FILES.values() if name.endswith(".js")]
    assert not [name for name in scripts if "AbortSignal.any(" in (FOLDER / name).read_text()]  # See check/time.js.


def test_the_page_has_nothing_inline() -> None:
    assert not re.search(r"<script(?![^>]* src=)", HTML)
    assert not re.search(r"<style|\sstyle=|\son\w+=|javascript:", HTML)


def test_the_page_and_its_modules_refer_to_files_that_are_served() -> None:
    referred = set(re.findall(r'(?:href|src)="(?!data:)([^"]+)"', HTML))
    for name, _ in FILES.values():
        if name.endswith(".js"):
            text = (FOLDER / name).read_text()
            imported = re.findall(r'^import .* from "(\..+)";$|\bimport\("(\..+?)"\)', text, re.MULTILINE)
            referred |= {urljoin(f"console/{name}", here or there) for here, there in imported}
    # Relative, so that the page also works below a prefix that an ingress takes off.
    assert {f"/{reference}" for reference in referred} == set(FILES) - {"/"}


@pytest.mark.parametrize(
    ("values", "prefix"),
    [
        ([], ""),
        (["/echo"], "/echo"),
        (["/echo/"], "/echo"),
        (["/"], ""),
        (["/a/b-c_d.e~f/%C3%BC"], "/a/b-c_d.e~f/%C3%BC"),
        (["/outer, /inner/"], "/outer/inner"),
        (["/outer", "/inner"], "/outer/inner"),
        (["echo"], ""),
        (["/a, b"], ""),
        (["//evil.example"], ""),
        (["/\\evil.example"], ""),
        (["https://evil.example"], ""),
        (["/a/../b"], ""),
        (["/.."], ""),
        (["/..."], "/..."),
        (['/"><script>'], ""),
        (["/a b"], ""),
        (["/%zz"], ""),
        (["/é"], ""),
    ],
)
def test_a_prefix_is_a_path_or_nothing(values: list[str], prefix: str) -> None:
    assert prefix_of(values) == prefix


def test_every_field_has_a_label() -> None:
    labels = re.findall(r"<label.*?</label>", HTML, re.DOTALL)
    fields = re.findall(r"<(?:input|textarea|select)\b", HTML)
    assert sum(len(re.findall(r"<(?:input|textarea|select)\b", label)) for label in labels) == len(fields)


def _colours(css: str) -> dict[str, tuple[str, str]]:
    return {
        name: (light, dark) for name, light, dark in re.findall(r"--([\w-]+): light-dark\((#\w{6}), (#\w{6})\)", css)
    }


def _luminance(colour: str) -> float:
    """WCAG 2.2's relative luminance."""
    parts = [int(colour[start : start + 2], 16) / 255 for start in (1, 3, 5)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def test_text_can_be_read_on_every_ground_in_light_and_dark() -> None:
    colours = _colours((FOLDER / "console.css").read_text())
    pairs = [(text, ground) for text in ("ink", "soft") for ground in colours if "ground" in ground]
    pairs += [(text, ground) for text in colours if text in {"ink", "soft"} for ground in ("card", "well")]
    pairs += [(tone, ground) for tone in ("good", "fair", "bad") for ground in ("card", "well", f"{tone}-ground")]
    pairs += [("sent", "well"), ("received", "well"), ("on-accent", "accent")]
    for text, ground in pairs:
        for scheme in (0, 1):
            brighter, darker = sorted(
                (_luminance(colours[text][scheme]), _luminance(colours[ground][scheme])), reverse=True
            )
            assert (brighter + 0.05) / (darker + 0.05) >= 4.5, (text, ground, scheme)


def test_the_wheel_holds_the_page(tmp_path: Path) -> None:
    build = f"import hatchling.build; print(hatchling.build.build_wheel({str(tmp_path)!r}))"
    name = subprocess.run(
        [sys.executable, "-c", build], cwd=ROOT, check=True, capture_output=True, text=True, timeout=100
    ).stdout.split()[-1]
    with zipfile.ZipFile(tmp_path / name) as wheel:
        packed = set(wheel.namelist())
    assert {f"echo/gateway/console_page/{file}" for file, _ in FILES.values()} <= packed
