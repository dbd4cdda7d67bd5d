"""Values, totals, correctness and the cap, with numbers worked by hand and for any rubric at all."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from honewise import Completion, Reward, Rubric, Scored, Span, Task, Term, UserError
from honewise.scoring import CAP, bind_rubric, credit
from honewise.scoring.outcome import GATED, Outcome, failed
from honewise.scoring.rubric import BoundRubric, scored

TASK = Task("t", {})


def rewards(**bounds: tuple[float, float]) -> dict[str, Reward]:
    return {name: Reward(fn=lambda completion: 0.0, name=name, bounds=each) for name, each in bounds.items()}


def bound(terms: dict[str, Any], correct: str | None = None, cap_wrong: bool = False, **bounds: Any) -> BoundRubric:
    ranges = {name: bounds.get(name, (0.0, 1.0)) for name in terms}
    return bind_rubric(Rubric(terms, correct=correct, cap_wrong=cap_wrong), rewards(**ranges))


def row(rubric: BoundRubric, step: int = 0, **outcomes: Outcome) -> Scored:
    return scored(rubric, TASK, Completion("x" * 20), outcomes, step)


def test_a_total_is_the_weighted_sum() -> None:
    rubric = bound({"a": 3, "b": Term(-0.5), "c": 0})
    made = row(rubric, a=Outcome(0.5), b=Outcome(0.2, (Span(0, 4, 0.6),)), c=Outcome(1.0))
    assert made.total == pytest.approx(3 * 0.5 - 0.5 * 0.8)
    assert [cell.weight for cell in made.rewards.values()] == [3, -0.5, 0]
    assert list(made.rewards) == ["a", "b", "c"]


def test_a_shift_and_a_cut_go_to_the_terminal_and_a_scale_to_both() -> None:
    rubric = bound({"a": Term(2, normalise="bounds", clip=(0.0, 0.6))}, a=(-1.0, 1.0))
    cell = row(rubric, a=Outcome(0.2, (Span(0, 1, 0.4), Span(3, 9, 0.2, "x")))).rewards["a"]
    # raw .8 -> (.8 + 1) / 2 = .9 -> .6; spans halve to .2 and .1; what is left for the terminal is .3
    assert cell.value == pytest.approx(0.6)
    assert [span.value for span in cell.spans] == pytest.approx([0.2, 0.1])
    assert cell.terminal == pytest.approx(0.3)
    assert cell.spans[1].label == "x"


def test_a_closed_gate_gives_otherwise_as_it_stands() -> None:
    rubric = bound({"a": 1, "b": Term(2, when="a >= 1", otherwise=-0.25, clip=(0.0, 1.0), normalise="bounds")})
    made = row(rubric, a=Outcome(0.5), b=GATED)
    assert (made.rewards["b"].value, made.rewards["b"].gated, made.total) == (-0.25, True, 0.0)


def test_unscored_with_weight_has_no_total_and_without_weight_costs_nothing() -> None:
    rubric = bound({"a": 1, "b": Term({0: 0.0, 5: 1.0})})
    outcomes = {"a": Outcome(1.0), "b": failed("b", "gone")}
    assert row(rubric, **outcomes).total == 1.0
    assert row(rubric, step=5, **outcomes).total is None


@pytest.mark.parametrize(
    ("outcome", "correct"),
    [
        (Outcome(0.2, correct=True), True),
        (Outcome(1.0, correct=False), False),
        (Outcome(1.0), True),
        (Outcome(0.999), False),
        (GATED, False),
        (failed("a", "gone"), None),
    ],
)
def test_who_is_correct(outcome: Outcome, correct: bool | None) -> None:
    assert row(bound({"a": 1}, correct="a"), a=outcome).correct is correct
    assert row(bound({"a": 1}), a=outcome).correct is None


def test_the_cap_by_hand() -> None:
    """Weights 3/2/1, the 2 gated on being wrong: a right one totals 3 + 2 x .1 + 0 at least, a wrong one 3 at most."""
    rubric = bound(
        {"run": 3, "judge": Term(2, when="run < 1", otherwise=0.1), "form": 1}, correct="run", cap_wrong=True
    )
    right = row(rubric, run=Outcome(1.0, correct=True), judge=GATED, form=Outcome(0.0))
    assert (right.total, right.cut) == (pytest.approx(3.2), 0.0)
    wrong = row(rubric, run=Outcome(0.0, correct=False), judge=Outcome(1.0), form=Outcome(1.0))
    assert (wrong.total, wrong.cut) == (pytest.approx(3.0), 0.0), "3 is below the floor of 3.2: nothing is cut"
    half = row(rubric, run=Outcome(0.5, correct=False), judge=Outcome(1.0), form=Outcome(1.0))
    # 1.5 + 2 + 1 = 4.5 against a floor of 3.2, less a thousandth of the range 3 + 2 + 1
    assert half.total == pytest.approx(3.2 - 0.006)
    assert half.cut == pytest.approx(3.2 - 0.006 - 4.5)


def test_a_gate_that_a_right_completion_may_meet_either_way_counts_at_its_least() -> None:
    rubric = bound({"run": 1, "b": Term(1, when="c >= 1", otherwise=-2.0), "c": -1}, correct="run", cap_wrong=True)
    wrong = row(rubric, run=Outcome(0.0, correct=False), b=Outcome(1.0), c=Outcome(0.0))
    # floor: 1 - 2 - 1 = -2; range 1 + 1 + 1
    assert wrong.total == pytest.approx(-2.003)


def test_a_right_completion_that_does_not_earn_the_most_breaks_the_floor_and_is_unscored() -> None:
    rubric = bound({"run": 1, "form": 1}, correct="run", cap_wrong=True)
    made = row(rubric, run=Outcome(0.9, correct=True), form=Outcome(0.0))
    assert made.total is None
    assert made.correct is None
    assert "needs the upper bound" in str(made.rewards["run"].unscored)
    clipped = bound({"run": Term(1, clip=(0.0, 0.9)), "form": 1}, correct="run", cap_wrong=True)
    assert row(clipped, run=Outcome(0.9, correct=True), form=Outcome(0.0)).total == 0.9


def test_unknown_correctness_has_no_total_under_a_cap() -> None:
    rubric = bound({"run": 0, "form": 1}, correct="run", cap_wrong=True)
    made = row(rubric, run=failed("run", "gone"), form=Outcome(1.0))
    assert (made.total, made.correct) == (None, None)


@pytest.mark.parametrize(
    ("terms", "settings", "message"),
    [
        ({}, {}, "no rewards"),
        ({"a": Term(when="b >= 1")}, {}, "gated on 'b', which is not in the rubric"),
        ({"a": Term(when="gone"), "b": 1}, {}, "cannot be read"),
        ({"a": Term(when="b => 1"), "b": 1}, {}, "cannot be read"),
        ({"a": Term(when="b >= 1 or c"), "b": 1}, {}, "cannot be read"),
        ({"a": Term(when="b >= 1"), "b": Term(when="c > 0"), "c": Term(when="a > 0")}, {}, "a -> b -> c -> a"),
        ({"a": Term(when="a > 0")}, {}, "a -> a"),
        ({"a": 1}, {"correct": "b"}, "no reward .* 'b'"),
        ({"a": Term(normalise="bounds")}, {"a": (0.0, math.inf)}, "finite bounds"),
        ({"a": Term(normalise="bounds")}, {"a": (1.0, 1.0)}, "of some width"),
        ({"a": Term(normalise="twice")}, {}, "'none' or 'bounds'"),
        ({"a": Term(clip=(1.0, 0.0))}, {}, "from the lower to the higher"),
        ({"a": Term({})}, {}, "schedule of its weight is empty"),
        ({"a": math.nan}, {}, "finite numbers"),
        ({"a": Term(otherwise=math.inf)}, {}, "finite numbers"),
        ({"a": 1}, {"cap_wrong": True}, "needs the rubric's 'correct'"),
        (
            {"a": 1, "b": 1},
            {"cap_wrong": True, "correct": "a", "b": (-math.inf, 1.0)},
            "finite range of every reward; 'b'",
        ),
        ({"a": 1, "cap": 1}, {"cap_wrong": True, "correct": "a"}, "the cap itself"),
    ],
)
def test_a_rubric_without_sense_is_refused(terms: Any, settings: Any, message: str) -> None:
    with pytest.raises(UserError, match=message):
        bound(terms, **settings)


numbers = st.floats(-3, 3).map(lambda value: round(value, 3))
bounds_of = st.tuples(numbers, numbers).map(sorted).map(tuple).filter(lambda pair: pair[0] < pair[1])
NAMES = ["run", "b", "c", "d"]


@st.composite
def rubrics(draw: Any, *, cap: bool = True) -> BoundRubric:
    names = NAMES[: draw(st.integers(1, 4))]
    terms: dict[str, Term] = {}
    for place, name in enumerate(names):
        gate = None
        if place and draw(st.booleans()):
            other, sign = draw(st.sampled_from(names[:place])), draw(st.sampled_from(["<", "<=", ">=", ">"]))
            gate = f"{other} {sign} {draw(numbers)}"
        clip = draw(st.one_of(st.none(), st.tuples(numbers, numbers).map(sorted).map(tuple)))
        terms[name] = Term(
            weight=draw(numbers) if place else abs(draw(numbers)),
            when=gate,
            otherwise=draw(numbers),
            clip=clip,
            normalise=draw(st.sampled_from(["none", "bounds"])),
        )
    ranges = {name: draw(bounds_of) for name in names}
    return bind_rubric(Rubric(terms, correct="run", cap_wrong=cap), rewards(**ranges))


@st.composite
def outcomes_of(draw: Any, rubric: BoundRubric, right: bool) -> dict[str, Outcome]:
    """Outcomes that keep to the bounds and the gates."""
    made: dict[str, Outcome] = {}
    raw: dict[str, float] = {}
    for name in rubric.terms:
        low, high = rubric.bounds[name]
        gate = rubric.gates.get(name)
        if gate is not None and not gate.open(raw[gate.other]):
            made[name], raw[name] = GATED, rubric.term(name).otherwise
            continue
        value = high if right and name == "run" else draw(st.floats(low, high))
        cut = sorted(draw(st.lists(st.integers(0, 20), max_size=6)))
        spans = tuple(Span(a, b, draw(st.floats(-1, 1))) for a, b in zip(cut[::2], cut[1::2], strict=False))
        terminal = value - math.fsum(span.value for span in spans)
        made[name] = Outcome(terminal, spans, correct=right if name == "run" else None)
        raw[name] = value
    return made


@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_no_wrong_completion_ever_totals_as_much_as_a_right_one(data: Any) -> None:
    rubric = data.draw(rubrics())
    right = row(rubric, **data.draw(outcomes_of(rubric, True)))
    wrong = row(rubric, **data.draw(outcomes_of(rubric, False)))
    assert right.total is not None
    assert wrong.total is not None
    assert right.cut == 0
    assert wrong.cut <= 0
    assert wrong.total < right.total


@settings(max_examples=200, deadline=None)
@given(data=st.data())
def test_totals_are_conserved_and_unclipped_spans_keep_their_shares(data: Any) -> None:
    rubric = data.draw(rubrics(cap=data.draw(st.booleans())))
    right = data.draw(st.booleans())
    outcomes = data.draw(outcomes_of(rubric, right))
    made = row(rubric, **outcomes)
    assert made.total is not None
    for name, cell in made.rewards.items():
        assert cell.value is not None
        assert cell.terminal + math.fsum(span.value for span in cell.spans) == pytest.approx(cell.value, abs=1e-9)
        if not cell.gated:
            low, high = rubric.bounds[name]
            scale = 1 / (high - low) if rubric.term(name).normalise == "bounds" else 1.0
            given = [span.value * scale for span in outcomes[name].spans]
            assert [span.value for span in cell.spans] == pytest.approx(given)
    cells = credit([made], rubric).cells[0]
    assert math.fsum(cell.total for cell in cells.values() if cell is not None) == pytest.approx(made.total, abs=1e-9)


@settings(max_examples=100, deadline=None)
@given(data=st.data())
def test_the_floor_can_be_met(data: Any) -> None:
    """The cap takes no more than it must: some right completion is within the margin of what wrong ones are cut to."""
    rubric = data.draw(rubrics())
    assume(not rubric.gates)
    least: dict[str, Outcome] = {}
    for name in rubric.terms:
        low, high = rubric.bounds[name]
        ends = [high] if name == "run" else [low, high]
        least[name] = min(
            (Outcome(end, correct=True if name == "run" else None) for end in ends),
            key=lambda outcome: float(row(rubric_of(rubric, name), **{name: outcome}).total or 0),
        )
    right = row(rubric, **least)
    best = {n: Outcome(rubric.bounds[n][1 if rubric.weights(0)[n] > 0 else 0]) for n in rubric.terms}
    best["run"] = Outcome(rubric.bounds["run"][1], correct=False)
    wrong = row(rubric, **best)
    assert right.total is not None
    assert wrong.total is not None
    if wrong.cut < 0:
        width = sum(
            abs(rubric.weights(0)[n])
            * abs(float(row(rubric_of(rubric, n), **{n: Outcome(rubric.bounds[n][1])}).rewards[n].value or 0)
                  - float(row(rubric_of(rubric, n), **{n: Outcome(rubric.bounds[n][0])}).rewards[n].value or 0))
            for n in rubric.terms
        )  # fmt: skip
        assert wrong.total == pytest.approx(right.total - 1e-3 * (width or 1), abs=1e-9)


def rubric_of(rubric: BoundRubric, name: str) -> BoundRubric:
    """One term by itself."""
    return bind_rubric(Rubric({name: rubric.term(name)}), rewards(**{name: rubric.bounds[name]}))


def test_the_name_of_the_cap_is_told() -> None:
    assert CAP == "cap"
