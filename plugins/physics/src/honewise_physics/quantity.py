"""Expressions worked out with units: floats, a dimension, and how far rounding may have moved them."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from types import MappingProxyType

from .grammar import Node
from .units import NONE, Dimension

__all__ = ["CONSTANTS", "Quantity", "evaluate"]

_NO_NAMES: Mapping[str, Quantity] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Quantity:
    """``value`` in SI base units."""

    value: float
    dimension: Dimension = NONE
    error: float = 0.0
    """How far the value may be off because the numbers it was made of are rounded; first order, never negative."""
    united: bool = False
    """Whether a unit was written in it."""
    operations: int = 0
    """Sums, products, powers and functions of numbers that it took; a number with its unit takes none."""

    def near(self, other: Quantity, relative: float = 1e-9) -> bool:
        """Whether both may be one number, of one dimension."""
        slack = self.error + other.error + relative * max(abs(self.value), abs(other.value))
        return self.dimension == other.dimension and abs(self.value - other.value) <= slack


CONSTANTS: Mapping[str, Quantity] = MappingProxyType({"π": Quantity(math.pi)})
"""Names that are numbers wherever they stand."""


class _Undefined(Exception):
    pass


def evaluate(node: Node, names: Mapping[str, Quantity] = _NO_NAMES, *, absolute: bool = False) -> Quantity | None:
    """What an expression is worth; None where it has no value: an unknown name, units that do not add, an overflow.

    ``absolute`` reads a temperature that stands alone on its scale, 20 °C as 293.15 K; otherwise, and inside larger
    expressions, degrees are differences.
    """
    try:
        if absolute and node.text == "quantity":
            return _on_scale(node, names)
        if absolute and node.kind == "neg" and node.parts[0].text == "quantity":
            number, unit = node.parts[0].parts
            return _on_scale(Node("mul", (Node("neg", (number,)), unit), "quantity"), names)
        return _value(node, names)
    except (_Undefined, OverflowError, ZeroDivisionError, ValueError):
        return None


def _on_scale(node: Node, names: Mapping[str, Quantity]) -> Quantity:
    _number, unit = node.parts
    found = _value(node, names)
    if unit.kind == "unit" and unit.unit is not None and unit.unit.offset:
        return Quantity(found.value + unit.unit.offset, found.dimension, found.error, True, found.operations)
    return found


def _value(node: Node, names: Mapping[str, Quantity]) -> Quantity:
    if node.kind == "number":
        return _made(node.value, NONE, node.error)
    if node.kind == "unit":
        assert node.unit is not None
        return Quantity(node.unit.factor, node.unit.dimension, united=True)
    if node.kind == "name":
        found = names.get(node.text) or CONSTANTS.get(node.text)
        if found is None:
            raise _Undefined
        return found
    values = [_value(part, names) for part in node.parts]
    if node.text == "quantity":  # a number and its unit are no operation
        number, unit = values
        return _made(number.value * unit.value, unit.dimension, number.error * unit.value, True, number.operations)
    return _OPERATIONS[node.kind](node, *values)


def _made(value: float, dimension: Dimension, error: float, united: bool = False, operations: int = 0) -> Quantity:
    if not math.isfinite(value) or not math.isfinite(error):
        raise _Undefined
    return Quantity(value, dimension, abs(error), united, operations)


def _add(sign: float) -> Callable[..., Quantity]:
    def add(_: Node, a: Quantity, b: Quantity) -> Quantity:
        if a.dimension != b.dimension:
            raise _Undefined
        return _made(a.value + sign * b.value, a.dimension, a.error + b.error, a.united or b.united, _count(a, b))

    return add


def _count(a: Quantity, b: Quantity) -> int:
    return a.operations + b.operations + 1


def _mul(_: Node, a: Quantity, b: Quantity) -> Quantity:
    dimension = tuple(x + y for x, y in zip(a.dimension, b.dimension, strict=True))
    error = abs(a.value) * b.error + abs(b.value) * a.error + a.error * b.error
    return _made(a.value * b.value, dimension, error, a.united or b.united, _count(a, b))


def _div(_: Node, a: Quantity, b: Quantity) -> Quantity:
    dimension = tuple(x - y for x, y in zip(a.dimension, b.dimension, strict=True))
    value = a.value / b.value
    error = a.error / abs(b.value) + abs(value) * b.error / max(abs(b.value) - b.error, abs(b.value) / 2)
    return _made(value, dimension, error, a.united or b.united, _count(a, b))


def _pow(_: Node, a: Quantity, b: Quantity) -> Quantity:
    if b.dimension != NONE or b.united or abs(b.value) > 400:
        raise _Undefined
    power = Fraction(b.value).limit_denominator(12)
    if a.dimension != NONE and (abs(power) > 12 or abs(float(power) - b.value) > 1e-9):
        raise _Undefined
    dimension = tuple(x * power for x in a.dimension)
    value = a.value**b.value
    if isinstance(value, complex):
        raise _Undefined
    error = abs(b.value * value / a.value) * a.error if a.value else 0.0
    # A power of a bare unit, and a power of ten, are ways to write a unit and a number.
    written = a.operations == 0 and (a.value == 10.0 or a.united)
    return _made(value, dimension, error, a.united, a.operations + b.operations + (not written))


def _neg(_: Node, a: Quantity) -> Quantity:
    return Quantity(-a.value, a.dimension, a.error, a.united, a.operations)


_CALLS: dict[str, tuple[Callable[[float], float], Callable[[float], float]]] = {
    "sin": (math.sin, math.cos),
    "cos": (math.cos, math.sin),
    "tan": (math.tan, lambda x: 1 / math.cos(x) ** 2),
    "cot": (lambda x: 1 / math.tan(x), lambda x: 1 / math.sin(x) ** 2),
    "sec": (lambda x: 1 / math.cos(x), lambda x: math.tan(x) / math.cos(x)),
    "csc": (lambda x: 1 / math.sin(x), lambda x: 1 / (math.tan(x) * math.sin(x))),
    "arcsin": (math.asin, lambda x: 1 / math.sqrt(1 - x * x)),
    "arccos": (math.acos, lambda x: 1 / math.sqrt(1 - x * x)),
    "arctan": (math.atan, lambda x: 1 / (1 + x * x)),
    "sinh": (math.sinh, math.cosh),
    "cosh": (math.cosh, math.sinh),
    "tanh": (math.tanh, lambda x: 1 / math.cosh(x) ** 2),
    "exp": (math.exp, math.exp),
    "ln": (math.log, lambda x: 1 / x),
    "log": (math.log10, lambda x: 1 / (x * math.log(10))),
    "lg": (math.log10, lambda x: 1 / (x * math.log(10))),
}
_CALLS["asin"], _CALLS["acos"], _CALLS["atan"] = _CALLS["arcsin"], _CALLS["arccos"], _CALLS["arctan"]


def _call(node: Node, a: Quantity) -> Quantity:
    if node.text == "abs":
        return Quantity(abs(a.value), a.dimension, a.error, a.united, a.operations + 1)
    if node.text in ("sqrt", "cbrt"):
        root = Fraction(1, 2 if node.text == "sqrt" else 3)
        value = math.sqrt(a.value) if node.text == "sqrt" else math.cbrt(a.value)
        error = abs(value / a.value * float(root)) * a.error if a.value else 0.0
        return _made(value, tuple(x * root for x in a.dimension), error, a.united, a.operations + 1)
    if a.dimension != NONE:
        raise _Undefined
    function, slope = _CALLS[node.text]
    return _made(function(a.value), NONE, slope(a.value) * a.error if a.error else 0.0, False, a.operations + 1)


_OPERATIONS: Mapping[str, Callable[..., Quantity]] = {
    "add": _add(1.0),
    "sub": _add(-1.0),
    "mul": _mul,
    "div": _div,
    "pow": _pow,
    "neg": _neg,
    "call": _call,
}
