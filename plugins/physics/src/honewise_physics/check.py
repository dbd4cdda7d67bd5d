"""Whether an answer is right: number and unit apart, by the rule of the task."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

from honewise import Task

from .answers import Reading, letters_in, read_interval, read_number, split_answers, truth_in
from .official import jee_marks, power_of_ten, scibench_right
from .symbolic import equivalent
from .units import NONE, show_dimension

__all__ = ["Outcome", "check", "gold_unit"]

MOST_ANSWERS = 12
_EXACT = 1e-9
_JEE = 0.01


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of comparing one answer with what is wanted."""

    correct: bool = False
    """By the task's own rule."""
    number_ok: bool = False
    unit_ok: bool = False
    """The unit is of the right dimension, or none is needed."""
    scale_ok: bool = False
    """The unit is also as large as the one wanted."""
    share: float = 0.0
    """Marks, or the share of several answers that are right."""
    ratio: float | None = None
    """The number over the right one, both in one unit where the dimensions allow it."""
    figures_ok: bool = False
    """As many significant figures as the right answer has."""
    number_at: tuple[int, int] | None = None
    unit_at: tuple[int, int] | None = None
    """Where they stand in the answer's text."""
    said: str = ""
    """One line that says what is wrong."""


def check(task: Task, text: str) -> Outcome | None:
    """Compare the text of an answer with the answers of the task; None where the task has none.

    Raises nothing for any text; time is bounded by the limits of the grammar, but for expressions, where sympy may be
    asked.
    """
    golds = task.reference.get("answers") or ()
    if not golds:
        return None
    reference = task.reference
    rule, tolerance = str(reference.get("rule") or "units"), float(reference.get("tolerance") or 0.05)
    asked = bool(task.inputs.get("unit"))
    if len(golds) == 1:
        return _one(golds[0], text, rule, tolerance, asked, bool(task.inputs.get("several")))
    return _several(golds, text, rule, tolerance, asked)


def _one(gold: Mapping[str, Any], text: str, rule: str, tolerance: float, asked: bool, several: bool) -> Outcome:
    kind, wanted = str(gold.get("kind") or "number"), str(gold.get("text") or "")
    if kind == "number":
        return _numeric(wanted, str(gold.get("unit") or ""), text, rule, tolerance, asked)
    if kind == "choice":
        said, right = letters_in(text), letters_in(wanted)
        share = jee_marks(said, right, several=several and rule == "jee")
        return _plain(said == right, share, "" if said else "no option is named")
    if kind == "boolean":
        return _plain(truth_in(text) is not None and truth_in(text) == truth_in(wanted))
    if kind == "interval":
        return _interval(wanted, str(gold.get("unit") or ""), text, tolerance, asked)
    if kind == "text":
        return _plain(_folded(text) == _folded(wanted))
    same = equivalent(wanted, text)
    if same is None and _folded(text) == _folded(wanted):
        same = True  # neither can be read, and they are the same characters
    return _plain(bool(same), said="the expression cannot be read" if same is None else "")


def _plain(right: bool, share: float | None = None, said: str = "") -> Outcome:
    value = float(right) if share is None else share
    return Outcome(right, right, True, True, value, None, True, said="" if right else said or "not the right answer")


def _folded(text: str) -> str:
    return re.sub(r"[\s$\\{}.]+", "", text).casefold()


@lru_cache(maxsize=4096)
def gold_unit(text: str, unit: str) -> Reading | None:
    """The right number with its unit, a power of ten in the unit moved into the number."""
    power = power_of_ten(unit)
    rest = re.sub(r"\$? *10\^\{? *-?[0-9]{1,4} *\}?", " ", unit, count=1) if power is not None else unit
    number = text if power is None else f"({text}) \\times 10^{{{power}}}" if not _bare(text) else f"{text}e{power}"
    rest = rest.replace(r"\hat{\mathrm{i}}", "").replace("$", " ").strip()
    return read_number(f"{number} {rest}") if rest else read_number(number)


def _bare(text: str) -> bool:
    return re.fullmatch(r"\s*[+-]?[0-9.]+\s*", text) is not None


def _numeric(wanted: str, unit: str, text: str, rule: str, tolerance: float, asked: bool) -> Outcome:
    gold = gold_unit(wanted, unit)
    given = _only_number(text)
    if gold is None:  # a gold that cannot be read leaves the characters and SciBench's rule
        right = _folded(text) == _folded(f"{wanted}{unit}") or (
            rule == "scibench" and scibench_right(text, wanted, unit)
        )
        return _plain(right, said="the right answer is no number that can be read")
    if given is None:
        right = rule == "scibench" and scibench_right(text, wanted, unit)
        return Outcome(right, right, right, right, float(right), said="no single number can be read")
    found = _compared(given, gold, tolerance, asked, jee=rule == "jee")
    if rule == "scibench":
        found = replace(found, correct=found.correct or scibench_right(text, wanted, unit))
    return replace(found, share=float(found.correct))


def _only_number(text: str) -> Reading | None:
    whole = read_number(text)
    if whole is not None:
        return whole
    parts = split_answers(text)[:MOST_ANSWERS]
    readings = [(at, reading) for at, part in parts if (reading := read_number(part)) is not None]
    if len(readings) != 1:
        return None
    at, reading = readings[0]
    return replace(reading, number_at=_moved(reading.number_at, at), unit_at=_moved(reading.unit_at, at))


def _moved(where: tuple[int, int], by: int) -> tuple[int, int]:
    return where[0] + by, where[1] + by


def _compared(given: Reading, gold: Reading, tolerance: float, asked: bool, *, jee: bool = False) -> Outcome:
    """Number and unit apart. Without the right dimension the bare numbers are compared, so that it shows which is
    wrong.
    """
    dimension = gold.quantity.dimension
    if given.unit:
        unit_ok = given.quantity.dimension == dimension
        one, other = (given.absolute.value, gold.absolute.value) if unit_ok else (given.number, gold.number)
        scale_ok = unit_ok and math.isclose(_size(given), _size(gold), rel_tol=1e-6)
    else:
        unit_ok = not gold.unit or asked or dimension == NONE
        scale_ok = unit_ok
        one, other = given.number, gold.number
    error = gold.quantity.error if given.unit and unit_ok else gold.quantity.error / abs(_size(gold))
    right = abs(one - other) <= _JEE if jee else _near(one, other, gold, error, tolerance)
    if not right and not given.unit and "%" in gold.unit:
        right = _near(one * 100, other, gold, error, tolerance)  # 0.05 for 5 %
    said = "" if right and unit_ok else _fault(given, gold, right, unit_ok)
    return Outcome(
        correct=right and unit_ok,
        number_ok=right,
        unit_ok=unit_ok,
        scale_ok=scale_ok or (right and unit_ok),
        ratio=one / other if other else (1.0 if not one else None),
        figures_ok=bool(gold.digits) and given.digits == gold.digits,
        number_at=given.number_at,
        unit_at=given.unit_at,
        said=said,
    )


def _size(reading: Reading) -> float:
    """How large the unit is, in SI."""
    return reading.quantity.value / reading.number if reading.number else 1.0


def _near(one: float, other: float, gold: Reading, error: float, tolerance: float) -> bool:
    """Within the tolerance; or, rounded to the digits that the right answer has, that answer."""
    if math.isclose(one, other, rel_tol=tolerance, abs_tol=_EXACT if other == 0 else 0.0):
        return True
    return gold.rounded and gold.digits >= 2 and abs(one - other) <= error * (1 + _EXACT)


def _fault(given: Reading, gold: Reading, number: bool, unit: bool) -> str:
    if not unit:
        wanted = show_dimension(gold.quantity.dimension)
        said = show_dimension(given.quantity.dimension) if given.unit else "missing"
        return f"the unit is {said}, not of dimension {wanted}" + ("" if number else ", and the number is wrong")
    return "the number is wrong"


def _interval(wanted: str, unit: str, text: str, tolerance: float, asked: bool) -> Outcome:
    gold, given = read_interval(wanted), read_interval(text)
    if gold is None:
        return _plain(_folded(wanted) == _folded(text))
    if given is None:
        return _plain(False, said="no interval can be read")
    ends = []
    for said, right in zip(given[1:3], gold[1:3], strict=True):
        full = gold_unit(f"{right.number!r}", unit) if unit and not right.unit else right
        ends.append(_compared(said, full or right, tolerance, asked))
    brackets = (given[0], given[3]) == (gold[0], gold[3])
    # A unit behind the upper end is that of both.
    units = ends[1].unit_ok and (ends[0].unit_ok or not given[1].unit)
    numbers = all(end.number_ok for end in ends)
    whole = brackets and numbers and units
    return Outcome(whole, numbers, units, units, float(whole), said="" if whole else "not the right interval")


def _several(golds: Sequence[Mapping[str, Any]], text: str, rule: str, tolerance: float, asked: bool) -> Outcome:
    """All that are wanted, in any order, and no others; the share of right ones of however many there are."""
    parts = split_answers(text)[: MOST_ANSWERS + 1]
    table = [[_one(gold, part, rule, tolerance, asked, False) for _, part in parts] for gold in golds]
    pairs = _matched(table)
    count = max(len(golds), len(parts), 1)
    right = len(pairs) == len(golds) == len(parts)
    numbers = [any(each.number_ok for each in row) for row in table]
    units = [any(each.unit_ok for each in row) for row in table]
    return Outcome(
        correct=right,
        number_ok=all(numbers) and len(golds) == len(parts),
        unit_ok=all(units),
        scale_ok=all(units),
        share=len(pairs) / count,
        said="" if right else f"{len(pairs)} of {len(golds)} answers are right, {len(parts)} are given",
    )


def _matched(table: list[list[Outcome]]) -> dict[int, int]:
    """The most pairs of one right answer and one given one (augmenting paths)."""
    taken: dict[int, int] = {}

    def place(gold: int, seen: set[int]) -> bool:
        for at, outcome in enumerate(table[gold]):
            if outcome.correct and at not in seen:
                seen.add(at)
                if at not in taken or place(taken[at], seen):
                    taken[at] = gold
                    return True
        return False

    for gold in range(len(table)):
        place(gold, set())
    return {gold: at for at, gold in taken.items()}
