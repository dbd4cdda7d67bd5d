"""The published programs pass in the sandbox, and programs that are wrong do not."""

from __future__ import annotations

import ast
import copy
import gzip
import json
from collections.abc import Iterator
from typing import Any

import pytest

from honewise.sandbox.python import PythonLimits, PythonSandbox, TestsResult
from honewise.testing import data_slice

LIMITS = PythonLimits(seconds=20.0)
MUTATIONS = 3


@pytest.fixture(scope="module")
def rows() -> list[dict[str, Any]]:
    with gzip.open(data_slice("code_api/humaneval") / "HumanEval.jsonl.gz", "rt", encoding="utf-8") as file:
        return [json.loads(line) for line in file]


@pytest.fixture(scope="module")
def sandbox() -> Iterator[PythonSandbox]:
    box = PythonSandbox()
    yield box
    box.close()


def checked(sandbox: PythonSandbox, row: dict[str, Any], source: str, limits: PythonLimits = LIMITS) -> TestsResult:
    setup = row["prompt"] + "\n" + row["test"]  # helpers of the prompt are the tests' own, not the program's
    name = row["entry_point"]
    return sandbox.check(source, [f"check({name})"], setup=setup, entry_point=name, limits=limits)


def test_the_canonical_solutions_pass(sandbox: PythonSandbox, rows: list[dict[str, Any]]) -> None:
    failed = {}
    for row in rows:
        result = checked(sandbox, row, row["prompt"] + row["canonical_solution"])
        if not result.passed:
            failed[row["task_id"]] = result
    assert rows
    assert not failed


def test_programs_that_return_nothing_do_not(sandbox: PythonSandbox, rows: list[dict[str, Any]]) -> None:
    passed = [row["task_id"] for row in rows if checked(sandbox, row, row["prompt"] + "    return None\n").passed]
    assert passed == []


class Change(ast.NodeTransformer):
    """One change to a function, the ``number``-th that can be made; ``said`` tells which."""

    def __init__(self, number: int) -> None:
        self.left, self.said = number, ""

    def visit(self, node: ast.AST) -> Any:
        for new, said in changes(node):
            if self.left == 0 and not self.said:
                self.said = f"line {getattr(node, 'lineno', 0)}: {said}"
                return ast.copy_location(new, node)
            self.left -= 1
        return self.generic_visit(node)


OPPOSITE = {
    ast.Lt: ast.GtE, ast.GtE: ast.Lt, ast.Gt: ast.LtE, ast.LtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq,
    ast.In: ast.NotIn, ast.NotIn: ast.In, ast.Is: ast.IsNot, ast.IsNot: ast.Is,
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Add, ast.Div: ast.Mult, ast.FloorDiv: ast.Mult, ast.Mod: ast.Mult,
    ast.And: ast.Or, ast.Or: ast.And,
}  # fmt: skip


def changes(node: ast.AST) -> Iterator[tuple[ast.AST, str]]:
    new: Any = copy.deepcopy(node)
    match new:
        case ast.Return(value=value) if value is not None:
            new.value = ast.Constant(None)
            yield new, "returns None"
            wrapped: Any = copy.deepcopy(node)
            wrapped.value = ast.List([value], ast.Load())
            yield wrapped, "returns a list of it"
            twice: Any = copy.deepcopy(node)
            twice.value = ast.Tuple([value, value], ast.Load())
            yield twice, "returns it twice"
        case ast.Compare(ops=[op, *_]):
            new.ops[0] = OPPOSITE[type(op)]()
            yield new, f"{type(op).__name__} becomes {type(new.ops[0]).__name__}"
        case ast.BinOp(op=op) if type(op) in OPPOSITE:
            new.op = OPPOSITE[type(op)]()
            yield new, f"{type(op).__name__} becomes {type(new.op).__name__}"
        case ast.BoolOp(op=op):
            new.op = OPPOSITE[type(op)]()
            yield new, f"{type(op).__name__} becomes {type(new.op).__name__}"
        case ast.Constant(value=int(value)) if not isinstance(value, bool):
            new.value = value + 1
            yield new, f"{value} becomes {value + 1}"
        case ast.Constant(value=bool(value)):
            new.value = not value
            yield new, f"{value} becomes {not value}"


def mutations(row: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Three changes of the solution: its last return, then operators, then constants, then its return once more."""
    tree = ast.parse(row["prompt"] + row["canonical_solution"])
    at = max(i for i, node in enumerate(tree.body) if getattr(node, "name", "") == row["entry_point"])
    found = []
    for number in range(1000):
        changed, change = copy.deepcopy(tree), Change(number)
        function: Any = changed.body[at]
        function.body = [change.visit(statement) for statement in function.body]
        if not change.said:
            break
        found.append((ast.unparse(ast.fix_missing_locations(changed)), change.said))
    last = max(index for index, (_, said) in enumerate(found) if said.endswith("returns None"))
    wrapped = [each for each in found if each[1].endswith(("a list of it", "it twice"))]
    others = [each for each in found if "returns" not in each[1]]
    others.sort(key=lambda each: each[1].split(": ")[1][0].isdigit())
    yield from [found[last], *others, *reversed(wrapped)][:MUTATIONS]


SURVIVORS: dict[tuple[str, str], str] = {
    (
        "HumanEval/18",
        "line 14: Sub becomes Add",
    ): "equivalent: a slice past the end is shorter than what it is compared to",
    ("HumanEval/35", "line 10: 0 becomes 1"): "untested: no list of one element, nor one whose first is the largest",
    ("HumanEval/40", "line 21: Add becomes Sub"): "untested: no list where an element counted twice makes the sum zero",
    ("HumanEval/40", "line 22: Add becomes Sub"): "untested: no list where an element counted twice makes the sum zero",
}
"""By task and change: why the change makes no difference, or which input the data set's tests do not try."""


@pytest.mark.slow
def test_changed_solutions_fail(
    sandbox: PythonSandbox, rows: list[dict[str, Any]], capsys: pytest.CaptureFixture[str]
) -> None:
    tried, survived = 0, []
    for row in rows:
        for source, said in mutations(row):
            tried += 1
            if checked(sandbox, row, source, PythonLimits(seconds=5.0)).passed:
                survived.append((row["task_id"], said))
    with capsys.disabled():
        print(f"\n{tried} changed solutions, {len(survived)} passed: {survived}")
    assert tried == MUTATIONS * len(rows)
    assert set(survived) <= set(SURVIVORS), "a survivor that nobody explained"
    assert len(survived) <= 0.05 * tried
