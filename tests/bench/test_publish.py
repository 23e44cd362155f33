"""A whole run is written where people read it, and nothing else in the README is touched."""

import shutil
from pathlib import Path

import pytest

from tests.bench import publish, report
from tests.bench.__main__ import main
from tests.bench.results import Results
from tests.bench.test_report import results


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A project with the README as it is."""
    (tmp_path / "tests/bench").mkdir(parents=True)
    shutil.copy(publish.ROOT / "README.md", tmp_path)
    return tmp_path


def test_the_readmes_tables_are_replaced_and_its_words_are_kept(root: Path) -> None:
    before = (root / "README.md").read_text()
    written = publish.publish(results(50), root)
    after = (root / "README.md").read_text()
    assert [path.relative_to(root).as_posix() for path in written] == [
        "README.md",
        "tests/bench/results.md",
        "tests/bench/results.svg",
    ]
    assert before.partition(publish.BEGIN)[0] == after.partition(publish.BEGIN)[0]
    assert before.partition(publish.END)[2] == after.partition(publish.END)[2]
    block = after.partition(publish.BEGIN)[2].partition(publish.END)[0]
    assert "A whole run, on here & now:" in block
    assert "| server: unary call | 1.00 (50.0 µs) | 2.00 | 2.00 | 2.00 |" in block
    assert "| memory of an idle stream | 1.00 (50.0 KiB) | 2.00 | 2.00 | 2.00 |" in block
    assert report.goals(results(50)) in block
    assert report.markdown(results(50)) in written[1].read_text()
    assert written[2].read_text().startswith("<?xml")


def test_publishing_the_same_run_again_changes_nothing(root: Path) -> None:
    def contents() -> list[str]:
        return [path.read_text() for path in publish.publish(results(50), root)]

    assert contents() == contents()


def test_a_readme_without_a_place_for_the_tables_stays_as_it_is(root: Path) -> None:
    (root / "README.md").write_text("# Words\n")
    with pytest.raises(ValueError, match="the README needs one block"):
        publish.publish(results(50), root)
    assert (root / "README.md").read_text() == "# Words\n"
    assert list((root / "tests/bench").iterdir()) == []


def test_a_run_that_lacks_a_figure_is_not_written(root: Path) -> None:
    before, part = (root / "README.md").read_text(), results(50)
    part.memory.clear()
    with pytest.raises(KeyError):
        publish.publish(part, root)
    assert (root / "README.md").read_text() == before


@pytest.mark.parametrize(
    ("flags", "written"),
    [
        ("", True),
        ("--no-write", False),
        ("--quick", False),
        ("--quick --write", True),
        ("--rounds 2", False),
        ("--only unary", False),
        ("--peers grpclib", False),
    ],
)
def test_a_whole_run_is_written_others_when_asked(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], flags: str, written: bool
) -> None:
    runs: list[Results] = []

    def write(found: Results) -> list[Path]:
        runs.append(found)
        return [Path("README.md")]

    monkeypatch.setattr("sys.argv", ["bench", *flags.split()])
    monkeypatch.setattr("tests.bench.__main__.measure", lambda _: results(50))
    monkeypatch.setattr(publish, "publish", write)
    main()
    said = capsys.readouterr()
    assert runs == [results(50)] * written
    assert ("written: README.md" in said.err) is written
    assert "| goal | at most | measured |  |" in said.out


def test_part_of_a_run_cannot_be_written(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("sys.argv", ["bench", "--only", "unary", "--write"])
    with pytest.raises(SystemExit):
        main()
    assert "--write needs a whole run" in capsys.readouterr().err
