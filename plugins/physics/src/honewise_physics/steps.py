"""Step checks: every arithmetic step that a solution writes down, worked out again with its units.

A step is a link ``a = b`` of an equation whose two sides are numbers with units, or symbols that the solution has given
a value before. It is right where both sides agree, wrong where no reading of them does, and otherwise unclear: a side
that cannot be read, a unit that was left out. Wrong ones are charged where the right-hand side stands.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import product
from typing import Literal

from .equations import Chain, Side, chains
from .grammar import Node, names_of, read
from .lexer import FUNCTIONS, Token
from .quantity import Quantity, evaluate
from .units import NONE, Dimension

__all__ = ["Step", "dimension_of", "find_steps", "gold_values", "near", "strays"]

Mark = Literal["right", "wrong", "unclear"]

_ABOUT = 0.02
"""What an approximate sign allows beyond rounding."""
_DIGIT = 0.005
"""What a result of one digit may be off, as a share: three digits whose closing zeros were left out."""
_MOST_NAMES = 100
_COMPUTED = ("add", "sub", "call", "pow")
_INVERSE = frozenset(["arcsin", "arccos", "arctan", "asin", "acos", "atan"])


@dataclass(frozen=True, slots=True)
class Step:
    """One link of an equation; ``start`` and ``end`` are those of its right-hand side."""

    mark: Mark
    start: int
    end: int
    value: Quantity | None
    """Of the right-hand side."""
    result: bool
    """Whether the right-hand side is a number rather than another expression."""
    united: bool
    """Whether either side tells the unit of the result."""
    said: str = ""


def find_steps(text: str, start: int = 0, *, given: Mapping[str, Quantity] | None = None) -> list[Step]:
    """The steps of a text that begins at character ``start`` of the completion, in order.

    ``given`` are values of symbols that need not be written again. A step that repeats an earlier one is left out.
    """
    names = dict(given or {})
    found: list[Step] = []
    seen: set[tuple[str, ...]] = set()
    for chain in chains(text, start):
        holds = True
        for left, right, about in zip(chain.sides, chain.sides[1:], chain.about, strict=False):
            step = _link(left, right, about, names)
            if step is None:
                continue
            holds = holds and step.mark != "wrong"
            key = tuple(token.text for token in (*left.tokens, Token("sign", "=", 0, 0), *right.tokens))
            if key not in seen:
                seen.add(key)
                found.append(step)
        _learn(chain, names, holds)
    return found


def _link(left: Side, right: Side, about: bool, names: Mapping[str, Quantity]) -> Step | None:
    if not left.tokens or not right.tokens or _is_name(left):
        return None
    best: Step | None = None
    for one, other in product(_readings(left.tokens, names), _readings(right.tokens, names)):
        step = _judged(left, right, about, names, one, other)
        if step is None:
            continue
        if best is None or _RANK[step.mark] > _RANK[best.mark]:
            best = step
    return best


_RANK: Mapping[Mark, int] = {"wrong": 0, "unclear": 1, "right": 2}


def _readings(found: Sequence[Token], names: Mapping[str, Quantity]) -> list[frozenset[str]]:
    """Names that are symbols: those that have a value, or none of them, so that ``m`` may be a mass or a metre."""
    known = frozenset(token.text for token in found if token.kind == "name" and token.text in names)
    return [frozenset(), known] if known else [frozenset()]


def _judged(
    left: Side,
    right: Side,
    about: bool,
    names: Mapping[str, Quantity],
    left_symbols: frozenset[str],
    right_symbols: frozenset[str],
) -> Step | None:
    one, other = read(left.tokens, symbols=left_symbols), read(right.tokens, symbols=right_symbols)
    if one is None or other is None or strays(one) or strays(other):
        return None
    values = {name: names[name] for name in left_symbols | right_symbols}
    a, b = evaluate(one, values), evaluate(other, values)
    if a is None or b is None:
        return None
    if not a.operations and not b.operations and not names_of(one) and not (a.united and b.united):
        return None  # "5 = 5", or a number given a unit, is no step
    b = _coarse(b, right)
    mark, said = _marked(one, other, a, b, about, values)
    if mark == "wrong" and _looks_like_a_formula(left, a, b, left_symbols):
        mark, said = "unclear", ""
    return Step(mark, right.start, right.end, b, b.operations == 0, a.united or b.united, said)


def strays(node: Node) -> bool:
    """Whether a unit stands where no number does, so that it is rather a symbol: ``m g``."""
    if node.kind == "unit":
        return True
    if node.text == "quantity":
        return strays(node.parts[0])
    if node.kind in ("mul", "div") and node.parts[0].kind in _COMPUTED and _numeric(node.parts[0]):  # "(3 + 2) kg"
        return strays(node.parts[0]) or (not _only_units(node.parts[1]) and strays(node.parts[1]))
    return any(map(strays, node.parts))


def _numeric(node: Node) -> bool:
    if node.kind == "name":
        return False
    return node.kind == "number" or any(map(_numeric, node.parts))


def _only_units(node: Node) -> bool:
    return node.kind == "unit" or (node.kind == "pow" and _only_units(node.parts[0]))


def _marked(
    one: Node, other: Node, a: Quantity, b: Quantity, about: bool, values: Mapping[str, Quantity]
) -> tuple[Mark, str]:
    relative = _ABOUT if about else 1e-9
    if a.near(b, relative):
        return "right", ""
    if a.united == b.united:
        pairs = [
            (evaluate(one, values, absolute=True), evaluate(other, values, absolute=True)),
            (_in_degrees(one, values) or a, _in_degrees(other, values) or b),
        ]
        if any(x is not None and y is not None and x.near(_with_error(y, b), relative) for x, y in pairs):
            return "right", ""
        if a.dimension != b.dimension:
            return "wrong", "the units of the two sides differ"
        return "wrong", "the two sides differ"
    x, y = _without_units(one), _without_units(other)
    if x is None or y is None:
        return "unclear", ""
    if x.near(_with_error(y, _raw_error(b, y)), relative):
        # "2 * 3 = 6 m/s" gives a unit that cannot be checked; "2 kg * 3 m/s = 6" leaves it out.
        return ("right" if b.united else "unclear"), ""
    if a.dimension == b.dimension == NONE:
        return "unclear", ""
    return "wrong", "the two sides differ"


def _with_error(y: Quantity, b: Quantity) -> Quantity:
    return Quantity(y.value, y.dimension, max(y.error, b.error), y.united, y.operations)


def _raw_error(b: Quantity, y: Quantity) -> Quantity:
    share = abs(y.value / b.value) if b.value else 1.0
    return Quantity(y.value, error=b.error * share)


def _coarse(b: Quantity, right: Side) -> Quantity:
    """A result that is written as an integer is rounded, too: 549 may stand for 549.4, 5 for 4.99, 2500 for 2480."""
    numbers = [token for token in right.tokens if token.kind == "number"]
    if b.operations or not numbers or not b.value or not numbers[0].text.isdigit():
        return b
    written = numbers[0].text
    zeros = len(written) - len(written.rstrip("0")) if len(written) >= 3 else 0
    half = 0.5 * 10.0**zeros if len(written) > 1 else _DIGIT * numbers[0].value
    error = half * abs(b.value / numbers[0].value) if numbers[0].value else 0.0
    return Quantity(b.value, b.dimension, max(b.error, error), b.united, b.operations)


def _looks_like_a_formula(left: Side, a: Quantity, b: Quantity, symbols: frozenset[str]) -> bool:
    """``2 g h = 98 m^2/s^2``: letters behind one small number, units by chance, of another dimension than the rest."""
    numbers = [token for token in left.tokens if token.kind == "number"]
    letters = [token for token in left.tokens if token.kind == "name" and token.text not in symbols]
    alone = len(numbers) <= 1 or all(token.error == 0 and token.value <= 10 for token in numbers)
    signs = any(token.kind == "sign" and token.text in "*+-" for token in left.tokens)
    return (
        a.dimension != b.dimension
        and alone
        and not signs
        and len(letters) >= 2
        and a.operations <= len(numbers)
        and all(len(token.text) == 1 for token in letters)
    )


def _in_degrees(node: Node, values: Mapping[str, Quantity]) -> Quantity | None:
    """With bare numbers in trigonometric functions taken as degrees."""
    return evaluate(_degrees(node), values) if _trigonometric(node) else None


def _trigonometric(node: Node) -> bool:
    return (node.kind == "call" and node.text in FUNCTIONS) or any(map(_trigonometric, node.parts))


def _degrees(node: Node) -> Node:
    parts = tuple(map(_degrees, node.parts))
    degree = Node("number", (), "", math.pi / 180)
    if node.kind == "call" and node.text in ("sin", "cos", "tan", "cot", "sec", "csc"):
        parts = (Node("mul", (parts[0], degree)),)
    made = Node(node.kind, parts, node.text, node.value, node.error, node.digits, node.unit)
    return Node("div", (made, degree)) if node.kind == "call" and node.text in _INVERSE else made


def _without_units(node: Node) -> Quantity | None:
    return evaluate(_bare(node))


def _bare(node: Node) -> Node:
    if node.kind == "unit":
        return Node("number", (), "1", 1.0)
    return Node(node.kind, tuple(map(_bare, node.parts)), node.text, node.value, node.error, node.digits)


def _is_name(side: Side) -> bool:
    return len(side.tokens) == 1 and side.tokens[0].kind == "name"


def _learn(chain: Chain, names: dict[str, Quantity], holds: bool) -> None:
    """``F = ... = 6 N`` gives F a value, for what comes after; a wrong step takes it away: it is charged once."""
    first = chain.sides[0]
    if not _is_name(first) or len(names) >= _MOST_NAMES:
        return
    if not holds:
        names.pop(first.tokens[0].text, None)
        return
    for side in reversed(chain.sides[1:]):
        if not any(token.kind == "number" for token in side.tokens):
            continue
        node = read(side.tokens)
        value = evaluate(node, names) if node is not None else None
        if value is not None:
            names[first.tokens[0].text] = value
            return


@lru_cache(maxsize=4096)
def gold_values(solution: str) -> tuple[Quantity, ...]:
    """The different results of the right steps of a worked solution, in order."""
    values: list[Quantity] = []
    for step in find_steps(solution):
        if step.mark == "right" and step.result and step.value is not None and near(step, values) is None:
            values.append(step.value)
    return tuple(values)


def near(step: Step, values: Iterable[Quantity]) -> int | None:
    """Which of ``values`` the result of a step is."""
    if step.value is None:
        return None
    for at, value in enumerate(values):
        if _same(step.value, value):
            return at
    return None


def _same(a: Quantity, b: Quantity) -> bool:
    close = math.isclose(a.value, b.value, rel_tol=0.01, abs_tol=a.error + b.error + 1e-12)
    return close and (a.dimension == b.dimension or not (a.united and b.united))


def dimension_of(node: Node, dimensions: Mapping[str, Dimension]) -> Dimension | None:
    """The dimension of an expression whose symbols have those of ``dimensions``; None where it has none."""
    names = {name: Quantity(1.37, dimension, united=True) for name, dimension in dimensions.items()}
    found = evaluate(node, names)
    return None if found is None else found.dimension
