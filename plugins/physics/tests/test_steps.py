"""Step checks: by hand, and on a thousand solutions with one planted error."""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from honewise import Task
from honewise_physics.samples import tasks
from honewise_physics.steps import find_steps, gold_values
from honewise_physics.tasks import make_task, part


@pytest.mark.parametrize(
    ("text", "marks"),
    [
        ("F = 3 kg * 2 m/s^2 = 6 N", ["right"]),
        ("F = 3 kg * 2 m/s^2 = 7 N", ["wrong"]),
        ("F = 3 kg * 2 m/s^2 = 6 J", ["wrong"]),
        ("F = 3 kg * 2 m/s^2 = -6 N", ["wrong"]),
        ("F = 3 kg * 2 m/s^2 = 6000 mN", ["right"]),
        (r"$F = 3 \mathrm{~kg} \times 2 \mathrm{~m}/\mathrm{s}^2 = 6 \mathrm{~N}$", ["right"]),
        (r"\[ E = \frac{1}{2} \cdot 2\,\mathrm{kg} \cdot (3\,\mathrm{m/s})^2 = 9\,\mathrm{J} \]", ["right"]),
        ("a=(8-2)/3=2 m/s^2", ["right"]),
        ("a=(8-2)/3=3 m/s^2", ["wrong"]),
        ("2 kg * 3 m/s = 6", ["unclear"]),
        ("2 kg * 3 m/s = 7", ["wrong"]),
        ("5 km = 5000 m", ["right"]),
        ("5 km = 500 m", ["wrong"]),
        ("72 km/h = 20 m/s, so 20 m/s * 3 s = 60 m.", ["right", "right"]),
        ("sin(30) = 0.5 and sin(30°) = 0.5", ["right", "right"]),
        ("θ = arcsin(0.5) = 30°", ["right"]),
        ("T = 20 °C = 293.15 K", ["right"]),
        ("5 - 8 = 3", ["wrong"]),
        ("1234 * 2 ≈ 2500", ["right"]),
        ("2 * 9.81 = 19.6", ["right"]),
        ("1/3 = 0.333", ["right"]),
        ("1/3 = 0.34", ["wrong"]),
        ("10 m / 3 s ≈ 3.3 m/s", ["right"]),
        ("F = m a", []),
        ("F = m a = 3 kg * 2 m/s^2 = 6 N", ["right"]),
        ("0 = m g - N, and -m g = m a", []),
        ("v^2 = 2 g h = 2 * 9.8 m/s^2 * 5 m = 98 m^2/s^2", ["right"]),
        ("m = 2 kg, v = 3 m/s. E = 1/2 m v^2 = 1/2 * 2 kg * (3 m/s)^2 = 9 J", ["right", "right"]),
        ("m = 2 kg, v = 3 m/s. E = 1/2 m v^2 = 2 kg * (3 m/s)^2 = 18 J", ["wrong", "right"]),
        ("m = 5 kg, d = 3 m. The rope of 4 m holds 5 kg * 9.8 m/s^2 = 49 N", ["right"]),
        ("5 = 5. m = 3 kg. x = 7 m = 7 m", ["right"]),
        ("3 m + 2 s = 5 m", []),
        ("", []),
        ("= = =", []),
        ("2 * 3 = 6\n2 * 3 = 6\n2 * 3 = 6", ["right"]),
    ],
)
def test_marks_by_hand(text: str, marks: list[str]) -> None:
    found = [step.mark for step in find_steps(text) if step.mark != "unclear" or "unclear" in marks]
    assert found == marks


def test_spans_stand_on_the_result() -> None:
    text = "<reasoning>So F = 3 kg * 2 m/s^2 = 7 N</reasoning>"
    (step,) = find_steps(text[11:], 11)
    assert text[step.start : step.end] == "7 N"


# Planted errors ------------------------------------------------------------------------------------------------------

_OTHER_UNITS = ("kg", "m", "s", "N", "J", "W", "Pa", "C", "V", "A")


def plant(line: str, dice: random.Random) -> tuple[str, str] | None:
    """The line with one error, and its kind; None where that kind has no place in it."""
    _name, *_, numeric, result = line.split(" = ")
    head = line[: len(line) - len(result)]
    number, unit = result.split(" ", 1)
    kind = dice.choice(("product", "unit", "factor", "sign"))
    if kind == "product":
        wrong = float(number) * dice.choice((0.5, 0.8, 0.9, 1.1, 1.25, 2.0, 10.0, 0.1))
        return kind, f"{head}{wrong:.4g} {unit}"
    if kind == "unit":
        return kind, f"{head}{number} {dice.choice([each for each in _OTHER_UNITS if each != unit])}"
    if kind == "sign":
        flipped = number[1:] if number.startswith("-") else f"-{number}"
        return kind, f"{head}{flipped} {unit}"
    factors = re.split(r" \* ", numeric)
    if len(factors) < 2 or " + " in numeric or " - " in numeric or "sqrt" in numeric:
        return None
    del factors[dice.randrange(len(factors))]
    return kind, line.replace(f" = {numeric} = ", f" = {' * '.join(factors)} = ")


def line_of(text: str, at: int) -> int:
    return text[:at].count("\n")


def planted(count: int) -> list[tuple[Task, str, int, str]]:
    """So many solutions, each with the number of its wrong line and the kind of error."""
    dice = random.Random("planted")
    pool = tasks("train", world="all")
    found: list[tuple[Task, str, int, str]] = []
    while len(found) < count:
        task = dice.choice(pool)
        lines = task.reference["solution"].split("\n")
        at = dice.randrange(1, len(lines))
        made = plant(lines[at], dice)
        if made is not None:
            found.append((task, "\n".join([*lines[:at], made[1], *lines[at + 1 :]]), at, made[0]))
    return found


def test_a_planted_error_is_charged_where_it_stands_and_nowhere_else(judge_text: Callable[..., Any]) -> None:
    missed: Counter[str] = Counter()
    every: Counter[str] = Counter()
    for task, solution, at, kind in planted(1_000):
        text = f"<reasoning>{solution}</reasoning><answer>1</answer>"
        charges = {line_of(text, span.start) for span in judge_text("steps", task, text).spans if span.value < 0}
        every[kind] += 1
        missed[kind] += charges != {at}
    assert min(every.values()) > 100
    assert missed.total() <= 0.02 * every.total(), f"{missed} of {every}"


@pytest.mark.parametrize(("world", "compact"), [("all", False), ("simple", True)])
def test_right_solutions_are_never_charged(judge_text: Callable[..., Any], world: str, compact: bool) -> None:
    for task in [
        *tasks("train", world=world, compact=compact)[:1200],
        *tasks("held-out", world=world, compact=compact),
    ]:
        score = judge_text("steps", task, f"{task.reference['solution']}<answer>1</answer>")
        assert all(span.value > 0 for span in score.spans), task.reference["solution"]
        assert score.value == pytest.approx(1.0)


# The reward ----------------------------------------------------------------------------------------------------------

TWO = make_task(
    "two", "?", [part("12", unit="N")], solution="a = (8 m/s - 2 m/s) / 3 s = 2 m/s^2\nF = 6 kg * 2 m/s^2 = 12 N"
)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("", -1.0),
        ("<answer>12 N</answer>", -1.0),
        ("a = (8 m/s - 2 m/s) / 3 s = 2 m/s^2\nF = 6 kg * 2 m/s^2 = 12 N<answer>12 N</answer>", 1.0),
        ("a = (8 m/s - 2 m/s) / 3 s = 2 m/s^2<answer>12 N</answer>", 0.0),
        ("a = (8 m/s - 2 m/s) / 3 s = 3 m/s^2<answer>12 N</answer>", -1.0),
        ("a = (8 m/s - 2 m/s) / 3 s = 3 m/s^2\nF = 6 kg * 2 m/s^2 = 12 N<answer>12 N</answer>", 0.0),
        ("F = 6 kg * (8 m/s - 2 m/s) / 3 s = 12 N<answer>12 N</answer>", 0.0),
        ("1 + 1 = 2\n1 + 2 = 3\n1 + 3 = 4<answer>12 N</answer>", 0.0),
        ("2 kg * 7 m = 14 kg m\n2 kg * 8 m = 16 kg m<answer>12 N</answer>", -1.0),
    ],
)
def test_what_steps_are_worth(judge_text: Callable[..., Any], text: str, value: float) -> None:
    assert judge_text("steps", TWO, text).value == pytest.approx(value)


def test_each_result_is_paid_once(judge_text: Callable[..., Any]) -> None:
    one = "F = 6 kg * 2 m/s^2 = 12 N\n"
    again = "F = 2 m/s^2 * 6 kg = 12 N\nF = 3 m/s^2 * 4 kg = 12 N\n"
    assert judge_text("steps", TWO, one).value == judge_text("steps", TWO, one + again).value


def test_without_a_worked_solution_every_right_result_is_paid(judge_text: Callable[..., Any]) -> None:
    task = make_task("0", "?", [part("12", unit="N")])
    assert judge_text("steps", task, "2 kg * 3 m/s = 6 N s<answer>1</answer>").value == 1
    assert judge_text("steps", task, "2 kg * 3 m/s = 6 N s\n2 * 2 = 5<answer>1</answer>").value == 0
    assert judge_text("steps", task, "no step<answer>1</answer>").value == -1


@settings(deadline=None, max_examples=200)
@given(
    a=st.integers(1, 999),
    b=st.integers(1, 999),
    units=st.sampled_from([("kg", "m/s^2", "N"), ("N", "m", "J"), ("A", "Ω", "V"), ("W", "s", "J")]),
    off=st.sampled_from([0, 0, 1, -1, 7]),
)
def test_products_are_told_from_false_ones(a: int, b: int, units: tuple[str, str, str], off: int) -> None:
    product = a * b + off
    (step,) = find_steps(f"{a} {units[0]} * {b} {units[1]} = {product}.0 {units[2]}")
    assert step.mark == ("right" if off == 0 else "wrong")


def test_gold_values_are_the_results_in_order() -> None:
    assert [value.value for value in gold_values(TWO.reference["solution"])] == [2.0, 12.0]
