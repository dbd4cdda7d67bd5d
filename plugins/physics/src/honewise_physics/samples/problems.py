"""Problems as data: what is given, how it is asked in slots of alternatives, and the steps to the answer.

A wording is one choice from each slot. A choice whose indices add up to 2 modulo 3 is kept for held-out tasks, any
other
for training, so that the two share words but no phrasing. Demonstrations are as if one person had written them: they
keep to the first two alternatives of each slot.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from honewise_physics.grammar import read
from honewise_physics.quantity import evaluate

__all__ = ["Given", "Problem", "Slot", "Step", "Worked", "number_text", "work_out"]

Slot = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Given:
    """A quantity that the problem tells: unit, the numbers that it may be, and, for school problems, other units."""

    unit: str
    small: Sequence[int]
    """Whole numbers for the simple world."""
    low: float
    high: float
    """Range for school problems, in ``unit``."""
    units: Mapping[str, float] | None = None
    """Other units it may be told in, each with how many of ``unit`` it is."""


@dataclass(frozen=True, slots=True)
class Step:
    """``symbol = expression``; the expression names quantities in braces, ``{m} * {a}``."""

    symbol: str
    unit: str
    expression: str


@dataclass(frozen=True, slots=True)
class Problem:
    """A kind of problem. The last step is the answer; ``asks`` ends the wording."""

    name: str
    subject: str
    givens: Mapping[str, Given]
    slots: tuple[Slot, ...]
    steps: tuple[Step, ...]
    constants: Mapping[str, str] | None = None
    """Symbols with a fixed value that the wording need not tell, such as ``g``."""


@dataclass(frozen=True, slots=True)
class Worked:
    """One step with its numbers: the symbolic form, the form with numbers and units, the one with bare numbers."""

    symbol: str
    symbolic: str
    numeric: str
    bare: str
    result: str
    unit: str


def number_text(value: float, digits: int = 3) -> str:
    """A number with so many significant digits, without an exponent where it has a usual size.

    >>> number_text(1234.5), number_text(0.0456789), number_text(2.0)
    ('1230', '0.0457', '2')
    """
    if value == 0 or not math.isfinite(value):
        return "0"
    rounded = float(f"{value:.{digits}g}")
    if rounded.is_integer() and abs(rounded) < 1e6:
        return str(int(rounded))
    return f"{rounded:.{digits}g}".replace("e-0", "e-").replace("e+0", "e")


def work_out(problem: Problem, values: Mapping[str, str], *, whole: bool) -> list[Worked] | None:
    """The steps with the given values (number and unit as text); None where a result is not usable.

    ``whole``: every result must be a whole number from 1 to 999 and is written exactly; else 3 digits.
    """
    known = {**(problem.constants or {}), **values}
    found: list[Worked] = []
    for step in problem.steps:
        symbolic = _filled(step.expression, {name: name for name in known})
        numeric = _filled(step.expression, known)
        value = _in_unit(numeric, step.unit)
        if value is None or not 1e-6 < abs(value) < 1e9:
            return None
        if whole and (abs(value - round(value)) > 1e-9 or not 1 <= round(value) <= 999):
            return None
        result = str(round(value)) if whole else number_text(value)
        bare = _filled(step.expression.replace(" ", ""), {name: text.split(" ")[0] for name, text in known.items()})
        found.append(Worked(step.symbol, symbolic, numeric, bare, result, step.unit))
        known[step.symbol] = f"{result} {step.unit}".strip()
    return found


def _filled(expression: str, values: Mapping[str, str]) -> str:
    text = expression
    for name, value in values.items():
        # A negative number is put in brackets, and so is a quantity that is raised to a power.
        shown = f"({value})" if value.startswith("-") or (f"{{{name}}}^" in text and " " in value) else value
        text = text.replace(f"{{{name}}}", shown)
    return text


def _in_unit(numeric: str, unit: str) -> float | None:
    node, scale = read(numeric), read(f"1 {unit}")
    value = evaluate(node) if node is not None else None
    one = evaluate(scale) if scale is not None else None
    if value is None or one is None or value.dimension != one.dimension:
        return None
    return value.value / one.value
