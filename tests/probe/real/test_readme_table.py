"""The README's table of real proxies: it is written from reports, and says what the rows expect."""

from pathlib import Path

import pytest

from echo.probe.finding import broken, inconclusive, limited, survived
from echo.probe.report import Facts, Report, Result
from tests.probe.real.readme import BEGIN, END, README, expected, line, read, shortened, title, written
from tests.probe.real.row import BROKEN, LIMITED, NO_SETTING, Ports, Row, Says
from tests.probe.real.surveying import RIGHT, ROWS
from tests.probe.reports import report_of

EMPTY = f"before\n{BEGIN}\n\nold\n{END}\nafter\n"


def configure(ports: Ports, folder: Path) -> list[str]:
    raise AssertionError("not run here")


RIGHT_ONE = Row("nginx", "right", configure, [Says("reset", BROKEN, NO_SETTING)], right=True)
WRONG_ONE = Row("nginx", "`x 1`", configure, [Says("stream-idle", LIMITED, "grpc_read_timeout")], ["cancel"])


def reported() -> Report:
    return report_of(
        {
            "http2": survived("Yes."),
            "reset": broken("rewritten", "It is renamed."),
            "stream-idle": limited("reset", "It is cut off after 3 | 4 s."),
            "cancel": inconclusive("Who knows."),
        },
        Facts(),
    )


def test_a_line_says_what_the_right_configuration_does_not() -> None:
    text = line(WRONG_ONE, _advising(reported()), RIGHT_ONE)
    assert text == (
        "| nginx, `x 1` | `stream-idle` limited: It is cut off after 3 \\| 4 s<br>cannot tell: `cancel` "
        "| `grpc_read_timeout` |\n"
    )


def _advising(report: Report) -> Report:
    """The report, with advice on the reset as nginx's is."""
    results = [
        Result(one.name, one.question, one.finding, ["nginx: no setting: sorry"]) if one.name == "reset" else one
        for one in report.results
    ]
    return Report(report.target, None, [], report.started, report.seconds, report.path, results)


def test_what_is_written_can_be_read() -> None:
    report = report_of({"stream-idle": limited("reset", "It is cut off."), "cancel": inconclusive("Who knows.")})
    text = written(EMPTY, [line(WRONG_ONE, report, RIGHT_ONE)])
    assert text.startswith(f"before\n{BEGIN}\n\n| proxy")
    assert text.endswith(f"|\n\n{END}\nafter\n")
    assert read(text) == {title(WRONG_ONE): expected(WRONG_ONE)}


def test_a_readme_without_its_place_is_left_alone() -> None:
    with pytest.raises(ValueError, match="needs one block"):
        written("no place", [])


@pytest.mark.parametrize(
    ("sentence", "short"),
    [
        ("It works.", "It works"),
        (f"{'The path cuts it off ' * 3}: {'this is how ' * 9}.", ("The path cuts it off " * 3)),
        (f"{'word ' * 30}.", f"{'word ' * 20}…"),
    ],
)
def test_a_long_finding_is_cut_where_it_can_be(sentence: str, short: str) -> None:
    assert shortened(sentence) == short


def test_each_product_has_one_right_configuration() -> None:
    assert list(RIGHT) == ["nginx", "HAProxy", "Envoy"]
    assert len({title(row) for row in ROWS}) == len(ROWS)


def test_the_readme_s_table_says_what_the_rows_expect() -> None:
    assert read(README.read_text()) == {title(row): expected(row) for row in ROWS}
