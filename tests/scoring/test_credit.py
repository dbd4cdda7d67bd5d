"""Credit in characters: policies for what is missing, and groups that a failure must not tilt."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from honewise import Cell, Completion, Reward, Rubric, Scored, Span, Task, Term
from honewise.errors import UnscoredBudgetExceeded
from honewise.scoring import CAP, GroupCredit, bind_rubric, credit
from honewise.scoring.outcome import Outcome, failed
from honewise.scoring.rubric import BoundRubric, scored

TASK = Task("t", {})
GONE = failed("judge", "gone")


def bound(terms: dict[str, Any], **settings: Any) -> BoundRubric:
    rewards = {name: Reward(fn=lambda completion: 0.0, name=name) for name in terms}
    return bind_rubric(Rubric(terms, **settings), rewards)


def group(rubric: BoundRubric, *rows: dict[str, Outcome], text: str = "x" * 40) -> list[Scored]:
    return [scored(rubric, TASK, Completion(text), outcomes, 0) for outcomes in rows]


def centred(made: GroupCredit) -> list[float]:
    """Each row's sum over its components of total minus the mean over the rows that have the component."""
    sums = [0.0] * len(made.cells)
    for name in made.names:
        present = [(index, cell) for index, cells in enumerate(made.cells) if (cell := cells[name]) is not None]
        mean = math.fsum(cell.total for _, cell in present) / len(present) if present else 0.0
        for index, cell in present:
            sums[index] += cell.total - mean
    return sums


@pytest.mark.parametrize("dense", [False, True])
def test_four_equal_completions_of_which_one_lost_a_component_stay_equal(dense: bool) -> None:
    """Values 1 and .5: renormalised rows would make the one that lost its judge a false winner."""
    first = Outcome(0.4, (Span(0, 5, 0.2), Span(7, 9, 0.4))) if dense else Outcome(1.0)
    second = Outcome(0.0, (Span(3, 4, 0.5),)) if dense else Outcome(0.5)
    rubric = bound({"checks": 0.5, "judge": 0.5})
    whole = {"checks": first, "judge": second}
    rows = group(rubric, whole, whole, {"checks": first, "judge": GONE}, whole)
    assert [row.total for row in rows] == [0.75, 0.75, None, 0.75]
    made = credit(rows, rubric)
    assert made.cells[2]["judge"] is None
    assert centred(made) == [0, 0, 0, 0]


def test_spans_and_terminal_are_weighted() -> None:
    rubric = bound({"a": 2, "b": -1, "off": 0})
    rows = group(rubric, {"a": Outcome(0.5, (Span(1, 3, 0.25),)), "b": Outcome(0.5), "off": Outcome(1.0)})
    made = credit(rows, rubric)
    assert made.names == ("a", "b")
    assert made.cells[0]["a"] is not None
    assert made.cells[0]["a"].spans == ((1, 3, 0.5),)
    assert [cell.terminal for cell in made.cells[0].values() if cell] == [1.0, -0.5]


def test_unscored_without_weight_is_no_component() -> None:
    rubric = bound({"a": 1, "off": Term(0, on_unscored="raise")})
    made = credit(group(rubric, {"a": Outcome(1.0), "off": GONE}), rubric)
    assert made.names == ("a",)


def test_drop_group_gives_up_everyone() -> None:
    rubric = bound({"a": 1, "judge": Term(1, on_unscored="drop_group")})
    whole = {"a": Outcome(1.0), "judge": Outcome(1.0)}
    rows = group(rubric, whole, {"a": Outcome(0.0), "judge": GONE})
    made = credit(rows, rubric)
    assert made.dropped
    assert [dict(cells) for cells in made.cells] == [{"a": None, "judge": None}] * 2
    assert not credit(rows[:1], rubric).dropped


def test_zero_takes_a_missing_cell_as_nothing_earned() -> None:
    rubric = bound({"a": 1, "judge": Term(1, on_unscored="zero")})
    rows = group(rubric, {"a": Outcome(1.0), "judge": Outcome(0.5)}, {"a": Outcome(1.0), "judge": GONE})
    made = credit(rows, rubric)
    assert made.cells[1]["judge"] is not None
    assert made.cells[1]["judge"].total == 0
    assert rows[1].total is None, "the report still says unscored"


def test_raise_says_which_and_why() -> None:
    rubric = bound({"a": 1, "judge": Term(1, on_unscored="raise")})
    rows = group(rubric, {"a": Outcome(1.0), "judge": GONE})
    with pytest.raises(UnscoredBudgetExceeded, match=r"'judge'.*task 't'.*judge: gone"):
        credit(rows, rubric)


def test_the_cap_is_a_component_of_its_own() -> None:
    rubric = bound({"run": 1, "form": 2}, correct="run", cap_wrong=True)
    rows = group(
        rubric,
        {"run": Outcome(1.0, correct=True), "form": Outcome(0.0)},
        {"run": Outcome(0.0, correct=False), "form": Outcome(0.5, (Span(0, 3, 0.5),))},
    )
    made = credit(rows, rubric)
    assert made.names == ("run", "form", CAP)
    assert [cells[CAP] and cells[CAP].total for cells in made.cells] == [0, pytest.approx(1 - 0.003 - 2)]
    sums = [math.fsum(cell.total for cell in cells.values() if cell) for cells in made.cells]
    assert sums == pytest.approx([row.total for row in rows])


def test_under_a_cap_a_missing_component_leaves_the_whole_group() -> None:
    rubric = bound({"run": 1, "form": 2, "judge": 3}, correct="run", cap_wrong=True)
    right = {"run": Outcome(1.0, correct=True), "form": Outcome(0.0), "judge": Outcome(1.0)}
    wrong = {"run": Outcome(0.0, correct=False), "form": Outcome(1.0), "judge": GONE}
    made = credit(group(rubric, right, wrong), rubric)
    assert [cells["judge"] for cells in made.cells] == [None, None]
    sums = [math.fsum(cell.total for cell in cells.values() if cell) for cells in made.cells]
    # Without the judge: a right one totals 1 at least, a wrong one is cut from 2 to just below.
    assert sums == pytest.approx([1.0, 1.0 - 0.003])
    equal = group(rubric, right, right, {**right, "judge": GONE})
    assert centred(credit(equal, rubric)) == [0, 0, 0]


def test_under_a_cap_unknown_correctness_leaves_the_cap_out() -> None:
    rubric = bound({"run": 1, "form": 2}, correct="run", cap_wrong=True)
    wrong = {"run": Outcome(0.0, correct=False), "form": Outcome(1.0)}
    made = credit(group(rubric, wrong, {"run": failed("run", "gone"), "form": Outcome(1.0)}), rubric)
    assert [cells[CAP] for cells in made.cells] == [None, None]
    assert [cells["run"] for cells in made.cells] == [None, None]
    assert centred(made) == [0, 0]


def test_a_plain_rubric_serves_where_nothing_must_be_cut_anew() -> None:
    rubric = bound({"run": 1, "form": 2}, correct="run", cap_wrong=True)
    plain = Rubric(rubric.terms, correct="run", cap_wrong=True)
    rows = group(rubric, {"run": Outcome(0.0, correct=False), "form": Outcome(1.0)})
    assert credit(rows, plain) == credit(rows, rubric)


def test_an_empty_group_has_no_components() -> None:
    assert credit([], bound({"a": 1})) == GroupCredit((), ())


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_equal_completions_stay_equal_whatever_is_lost(data: Any) -> None:
    """Any rubric, any values, any pattern of losses: what is common to all rows tilts nobody."""
    names = ["run", "b", "c"]
    cap = data.draw(st.booleans())
    weights = {name: data.draw(st.floats(-2, 2)) for name in names}
    rubric = bound(dict(weights), correct="run", cap_wrong=cap)
    right = data.draw(st.booleans())
    values = {name: Outcome(data.draw(st.floats(0, 1))) for name in names}
    values["run"] = Outcome(1.0 if right else data.draw(st.floats(0, 1)), correct=right)
    rows = []
    for _ in range(data.draw(st.integers(1, 6))):
        lost = data.draw(st.sets(st.sampled_from(names)))
        rows.append({name: failed(name, "gone") if name in lost else values[name] for name in names})
    assert centred(credit(group(rubric, *rows), rubric)) == pytest.approx([0.0] * len(rows), abs=1e-9)


def test_cells_are_what_they_say() -> None:
    cell = Cell(value=None, weight=1.0, unscored="why")
    row = Scored(TASK, Completion("x"), {"a": cell})
    assert credit([row], Rubric({"a": 1})).cells[0]["a"] is None
