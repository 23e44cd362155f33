"""The mutants of small sources, and what becomes of them in the ledger."""

import ast
from pathlib import Path

import pytest

from tests.mutation.ledger import Explained, Ledger
from tests.mutation.mutants import Mutant, mutants
from tests.mutation.plugin import ROOT
from tests.mutation.selection import Selection


def changes(source: str) -> list[str]:
    return [mutant.change for mutant in mutants(source)]


def inside(line: str) -> list[str]:
    """The changes of a line in a function."""
    return changes(f"def f():\n    {line}\n")


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("x = a < b", ["a < b -> (a <= b)", "a < b -> (a > b)"]),
        ("x = 0 <= b < c", ["0 <= b < c -> (0 < b < c)", "0 <= b < c -> (0 > b < c)", "0 <= b < c -> (0 <= b <= c)"]),
        ("x = a is None", ["a is None -> (a is not None)"]),
        ("x = a and b", ["a and b -> (a or b)", "a and b -> (b)", "a and b -> (a)"]),
        ("x = not a", ["not a -> (a)"]),
        ("if a: b()", ["a -> (not a)", "b() -> pass"]),
        ("x = a + b", ["a + b -> (a - b)"]),
        ("x = 'a' + b", []),
        ("x += a", ["x += a -> x -= a", "x += a -> pass"]),
        ("x = 10", ["10 -> 11", "10 -> 9"]),
        ("x = True", ["True -> False"]),
        ("return a", ["return a -> return None"]),
        ("return None", []),
        ("await a()", ["await a() -> pass"]),
        ("self.a = b", ["self.a = b -> pass"]),
        ("log.info('a')", []),
        ("assert a < b", []),
        ('"""Text."""', []),
        ("x: int = 1", ["1 -> 2", "1 -> 0"]),
        ("x = f'{a + 1}'", []),
    ],
)
def test_a_line_is_changed_in_these_ways(line: str, expected: list[str]) -> None:
    found = inside(line)
    assert found[: len(expected)] == expected
    assert bool(found) == bool(expected)


@pytest.mark.parametrize("file", ["wire/timeout.py", "wire/budget.py", "wire/compression.py", "transport/listener.py"])
def test_every_mutant_of_real_code_is_another_sound_program(file: str) -> None:
    source = (ROOT / "echo" / file).read_text()
    as_it_is = ast.dump(ast.parse(source))
    for mutant in mutants(source):
        compile(mutant.source, file, "exec")
        assert ast.dump(ast.parse(mutant.source)) != as_it_is, mutant.change


def test_a_mutant_is_where_it_says_though_text_before_it_is_not_ascii() -> None:
    (mutant,) = mutants('x = "é", a is None\n')
    assert mutant.source == 'x = "é", (a is not None)\n'


SOURCE = "LIMIT = 1\n\ndef f(a):\n    if (\n        a\n        > 3\n    ):\n        return a\n"


def test_a_test_is_for_the_mutants_of_the_lines_it_runs_and_of_what_is_imported() -> None:
    selection = Selection(
        lines={"tests/rpc/t.py::a": {"f.py": [4, 5, 8]}, "tests/wire/t.py::b": {"f.py": [4, 5]}, "t::c": {"g.py": [8]}},
        seconds={"tests/rpc/t.py::a": 0.1, "tests/wire/t.py::b": 0.2},
    )
    chosen = {
        mutant.change: [test for stage in selection.stages("f.py", mutant) for test in stage.tests]
        for mutant in mutants(SOURCE)
    }
    assert chosen["return a -> return None"] == ["tests/rpc/t.py::a"]
    assert chosen["a > 3 -> (a >= 3)"] == ["tests/wire/t.py::b", "tests/rpc/t.py::a"]
    assert chosen["1 -> 2"] == ["tests/wire/t.py::b", "tests/rpc/t.py::a"]


def test_a_test_that_imports_a_file_is_for_the_mutants_of_its_constants() -> None:
    this = Path(__file__).relative_to(ROOT).as_posix()
    selection = Selection(lines={f"{this}::a": {}, "tests/wire/t.py::b": {}}, seconds={})
    file = "tests/mutation/mutants.py"
    constant, _, in_function = mutants("LIMIT = 1\n\ndef f(a):\n    return a\n")
    assert [stage.tests for stage in selection.stages(file, constant)] == [[f"{this}::a"]]
    assert selection.stages(file, in_function) == []


def test_all_tests_are_for_the_mutants_of_a_file_without_functions() -> None:
    selection = Selection(lines={"tests/wire/t.py::a": {"g.py": [1]}, "tests/rpc/t.py::b": {}}, seconds={})
    (stage,) = selection.stages("f.py", next(mutants("class Limits:\n    size: int = 1\n")))
    assert stage.tests == ["tests/wire/t.py::a", "tests/rpc/t.py::b"]
    assert selection.stages("f.py", next(mutants("def f(a):\n    return a\n"))) == []


def first() -> Mutant:
    return next(mutants(SOURCE))


def test_what_is_killed_stays_so_and_what_survives_is_tried_anew_once_the_tests_have_changed(tmp_path: Path) -> None:
    kept = tmp_path / "results"
    killed, survivor, *_ = mutants(SOURCE)
    ledger = Ledger(kept, "before")
    ledger.add("f.py", SOURCE, killed, "killed")
    ledger.add("f.py", SOURCE, survivor, "survived")
    for state, expected in (("before", "survived"), ("after", None)):
        again = Ledger(kept, state)
        assert again.outcome("f.py", SOURCE, killed) == "killed"
        assert again.outcome("f.py", SOURCE, survivor) == expected
        assert again.outcome("f.py", SOURCE + "\n", killed) is None


def test_a_survivor_is_explained_wherever_its_line_has_moved(tmp_path: Path) -> None:
    file = tmp_path / "survivors.toml"
    file.write_text('[[survivor]]\nfile = "f.py"\ntext = "LIMIT = 1"\nchange = "1 -> 2"\nwhy = "no matter"\n')
    explained = Explained(file)
    assert explained.idle(["f.py"]) == [("f.py", "LIMIT = 1", "1 -> 2")]
    assert ("g.py", first()) not in explained
    assert ("f.py", next(mutants("\n\n" + SOURCE))) in explained
    assert explained.idle(["f.py"]) == []


def test_every_survivor_that_is_explained_is_a_mutant_of_the_code_as_it_is() -> None:
    explained = Explained(ROOT / "tests/mutation/survivors.toml")
    files = {key[0] for key in explained.entries}
    for file in files:
        for mutant in mutants((ROOT / file).read_text()):
            assert isinstance((file, mutant) in explained, bool)
    assert explained.idle(files) == []
