"""Whether two expressions are the same: values at points first, then sympy on polynomials of bounded size.

What a model wrote is read by ``grammar`` and built into sympy node by node. No text reaches sympy's own parsers, and
nothing is handed over whose expansion could grow: exponents, degrees and numbers of terms are counted beforehand.
"""

from __future__ import annotations

import math
import random
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from .grammar import Node, names_of, read
from .lexer import Token, tokens

__all__ = ["equivalent", "expanded", "progress", "progress_of", "read_symbolic", "subtrees"]

_POINTS = 24
_ENOUGH = 6
_MOST_TERMS = 400
_MOST_POWER = 12
_MOST_NODES = 300
_CLOSE = 1e-7
_E = Node("number", (), "2.718281828459045", math.e)


@lru_cache(maxsize=2048)
def read_symbolic(text: str) -> tuple[Node, ...] | None:
    """The sides of an equation, or the one expression, that ``text`` is; None where it is neither.

    Letters that stand together are a product, ``mgh`` as ``m g h``, unless they are an upright name or have an index.
    """
    found = tokens(text.strip().strip("$").rstrip("."))
    if not found:
        return None
    sides: list[list[Token]] = [[]]
    for token in found:
        if token.kind == "sign" and token.text in ("=", "~"):
            sides.append([])
        else:
            sides[-1].extend(_letters(token))
    read_sides = [_exponentials(node) if (node := read(side, units=False)) else None for side in sides]
    nodes = tuple(node for node in read_sides if node is not None)
    if len(nodes) != len(sides) or sum(map(_size, nodes)) > _MOST_NODES:
        return None
    return nodes


def _letters(token: Token) -> list[Token]:
    text = token.text
    if token.kind != "name" or token.upright or len(text) == 1 or not text.isalpha() or not text.isascii():
        return [token]
    return [Token("name", letter, token.start + at, token.start + at + 1) for at, letter in enumerate(text)]


def _exponentials(node: Node) -> Node:
    parts = tuple(map(_exponentials, node.parts))
    if node.kind == "pow" and parts[0].kind == "name" and parts[0].text == "e":
        return Node("call", (parts[1],), "exp")
    return Node(node.kind, parts, node.text, node.value, node.error, node.digits)


def _size(node: Node) -> int:
    return 1 + sum(map(_size, node.parts))


def equivalent(gold: str, said: str) -> bool | None:
    """Whether both texts are the same expression, or the same equation up to a constant factor; None: unreadable.

    Symbols are positive real quantities. Different values at any of up to ``_POINTS`` points mean different; agreement
    everywhere, or a proof by sympy where too few points have a value, means the same.

    >>> equivalent("m g h", "mgh"), equivalent("v^2/(2 g)", "v**2 / g"), equivalent("F = m a", "a = F/m")
    (True, False, True)
    """
    one, other = read_symbolic(gold), read_symbolic(said)
    if one is None or other is None:
        return None
    return _equivalent(one, other)


def _equivalent(one: tuple[Node, ...], other: tuple[Node, ...]) -> bool:
    if len(one) > 1 and len(other) > 1 and not _same_name(one[0], other[0]):
        return _same_equation(one, other)
    return _same(one[-1], other[-1])


def _same_name(a: Node, b: Node) -> bool:
    return a.kind == b.kind == "name" and a.text == b.text


def _same(a: Node, b: Node) -> bool:
    names = sorted(names_of(a) | names_of(b) - {"π"})
    compared = 0
    for point in _points(tuple(names)):
        x, y = _at(a, point), _at(b, point)
        if x is None or y is None:
            continue
        compared += 1
        if abs(x - y) > _CLOSE * max(abs(x), abs(y), 1e-12):
            return False
    return True if compared >= _ENOUGH or (compared and not names) else _proved(Node("sub", (a, b)))


def _same_equation(one: tuple[Node, ...], other: tuple[Node, ...]) -> bool:
    """Both differences of sides vanish together: their ratio is constant, or each vanishes where the other does."""
    a, b = Node("sub", (one[0], one[-1])), Node("sub", (other[0], other[-1]))
    names = tuple(sorted((names_of(a) | names_of(b)) - {"π"}))
    for name in names:
        if _same_where_solved(a, b, name, names):
            return True
    ratios = []
    for point in _points(names):
        x, y = _at(a, point), _at(b, point)
        if x is not None and y is not None and abs(y) > 1e-9:
            ratios.append(x / y)
    return len(ratios) >= _ENOUGH and max(ratios) - min(ratios) <= _CLOSE * max(map(abs, ratios)) and ratios[0] != 0


def _same_where_solved(a: Node, b: Node, name: str, names: tuple[str, ...]) -> bool:
    """Where both are linear in ``name``: whether both give it the same value."""
    compared = 0
    for point in _points(names):
        roots = [_root(node, name, point) for node in (a, b)]
        if None in roots:
            return False
        x, y = (root for root in roots if root is not None)
        if abs(x - y) > _CLOSE * max(abs(x), abs(y), 1e-12):
            return False
        compared += 1
    return compared >= _ENOUGH


def _root(node: Node, name: str, point: Mapping[str, float]) -> float | None:
    values = [_at(node, {**point, name: x}) for x in (1.0, 2.0, 3.0)]
    if None in values:
        return None
    first, second, third = (value for value in values if value is not None)
    slope = second - first
    scale = max(abs(first), abs(second), abs(third), 1e-9)
    if abs(slope) < 1e-9 * scale or abs(third - second - slope) > 1e-9 * scale:
        return None
    return 1.0 - first / slope


@lru_cache(maxsize=256)
def _points(names: tuple[str, ...]) -> tuple[Mapping[str, float], ...]:
    rng = random.Random(f"honewise-physics {' '.join(names)}")
    return tuple({name: rng.uniform(0.3, 2.7) for name in names} for _ in range(_POINTS))


_CALLS: Mapping[str, Any] = {
    "sin": math.sin,
    "cos": math.cos,
    "tan": math.tan,
    "cot": lambda x: 1 / math.tan(x),
    "sec": lambda x: 1 / math.cos(x),
    "csc": lambda x: 1 / math.sin(x),
    "arcsin": math.asin,
    "arccos": math.acos,
    "arctan": math.atan,
    "asin": math.asin,
    "acos": math.acos,
    "atan": math.atan,
    "sinh": math.sinh,
    "cosh": math.cosh,
    "tanh": math.tanh,
    "exp": math.exp,
    "ln": math.log,
    "log": math.log,
    "lg": math.log10,
    "sqrt": math.sqrt,
    "cbrt": math.cbrt,
    "abs": abs,
}


def _at(node: Node, point: Mapping[str, float]) -> float | None:
    try:
        value = _number(node, point)
    except (ValueError, OverflowError, ZeroDivisionError, KeyError, TypeError):
        return None
    return value if math.isfinite(value) else None


def _number(node: Node, point: Mapping[str, float]) -> float:
    if node.kind == "number":
        return node.value
    if node.kind == "name":
        return math.pi if node.text == "π" else point[node.text]
    values = [_number(part, point) for part in node.parts]
    match node.kind:
        case "add":
            return values[0] + values[1]
        case "sub":
            return values[0] - values[1]
        case "mul":
            return values[0] * values[1]
        case "div":
            return values[0] / values[1]
        case "neg":
            return -values[0]
        case "pow":
            return float(values[0] ** values[1])  # a complex root is a TypeError here
    return float(_CALLS[node.text](values[0]))


def _proved(difference: Node) -> bool:
    """Whether sympy shows that it is 0; only asked where expansion stays within ``_MOST_TERMS`` terms."""
    if _terms(difference) > _MOST_TERMS:
        return False
    import sympy

    try:
        return bool(sympy.expand(_to_sympy(difference, sympy)) == 0)
    except (ArithmeticError, ValueError, TypeError, AttributeError, RecursionError):
        return False


def _terms(node: Node) -> int:
    """An upper bound of the number of terms after expansion; huge where it is not known to be small."""
    huge = _MOST_TERMS + 1
    sizes = [_terms(part) for part in node.parts]
    if any(size > _MOST_TERMS for size in sizes):
        return huge
    match node.kind:
        case "add" | "sub":
            return sum(sizes)
        case "mul":
            return min(huge, sizes[0] * sizes[1])
        case "pow":
            return _terms_of_power(node, sizes[0], huge)
    return max(sizes, default=1)


def _terms_of_power(node: Node, size: int, huge: int) -> int:
    base, power = node.parts
    exponent = _constant(power)
    if exponent is None:  # a symbol over a symbol stays as it is
        return 1 if base.kind == "name" and not _has_power(power) else huge
    if abs(exponent) > _MOST_POWER or (not names_of(base) and (_has_power(base) or size > 1)):
        return huge
    return int(min(huge, size ** math.ceil(abs(exponent)))) if size > 1 else 1


def _constant(node: Node) -> float | None:
    """The value of a number, of minus one, or of a fraction of two."""
    if node.kind == "number":
        return node.value
    if node.kind == "neg":
        inner = _constant(node.parts[0])
        return None if inner is None else -inner
    if node.kind == "div":
        up, down = map(_constant, node.parts)
        return None if up is None or not down else up / down
    return None


def _has_power(node: Node) -> bool:
    return node.kind == "pow" or any(map(_has_power, node.parts))


def _to_sympy(node: Node, sympy: Any) -> Any:
    if node.kind == "number":
        return sympy.Rational(node.text) if len(node.text) <= 30 and _plain(node.text) else sympy.Float(node.value)
    if node.kind == "name":
        return sympy.pi if node.text == "π" else sympy.Symbol(node.text, positive=True)
    parts = [_to_sympy(part, sympy) for part in node.parts]
    match node.kind:
        case "add":
            return parts[0] + parts[1]
        case "sub":
            return parts[0] - parts[1]
        case "mul":
            return parts[0] * parts[1]
        case "div":
            return parts[0] / parts[1]
        case "neg":
            return -parts[0]
        case "pow":
            return sympy.Pow(parts[0], parts[1])
    name = {"arcsin": "asin", "arccos": "acos", "arctan": "atan", "ln": "log", "abs": "Abs"}.get(node.text, node.text)
    return sympy.Function(node.text)(parts[0]) if name == "lg" else getattr(sympy, name)(parts[0])


def _plain(text: str) -> bool:
    return text.replace(".", "", 1).isdigit() and text.isascii()


def progress(gold: str, said: str) -> float:
    """How much of the gold expression stands in another: 1 for equivalent ones, else less.

    >>> progress("m g h", "g h m"), 0 < progress("m g h", "m g") < 1, progress("m g h", "x")
    (1.0, True, 0.0)
    """
    one, other = read_symbolic(gold), read_symbolic(said)
    return 0.0 if one is None or other is None else progress_of(one, other)


def progress_of(gold: tuple[Node, ...], said: tuple[Node, ...]) -> float:
    """``progress`` of expressions that have been read.

    1 where they are equivalent, else 0.99 times the Dice index of their subtrees, which are compared without regard
    to the
    order of sums and products, numbers alone left out.
    """
    if _equivalent(gold, said):
        return 1.0
    wanted, given = subtrees(gold[-1]), subtrees(said[-1])
    if not wanted or not given:
        return 0.0
    return 0.99 * 2 * len(wanted & given) / (len(wanted) + len(given))


def expanded(node: Node, definitions: Mapping[str, Node]) -> Node:
    """An expression with symbols replaced by what defines them; unchanged where that makes it too long."""
    if not definitions:
        return node
    made = _expanded(node, definitions)
    return made if _size(made) <= _MOST_NODES else node


def _expanded(node: Node, definitions: Mapping[str, Node]) -> Node:
    if node.kind == "name":
        return definitions.get(node.text, node)
    parts = tuple(_expanded(part, definitions) for part in node.parts)
    return Node(node.kind, parts, node.text, node.value, node.error, node.digits)


def subtrees(node: Node) -> frozenset[str]:
    """Each part of an expression in one form, whatever the order of its sums and products; numbers alone left out."""
    found: set[str] = set()
    _form(node, found)
    return frozenset(found)


def _form(node: Node, found: set[str]) -> str:
    if node.kind == "number":
        return f"{node.value:.12g}"
    if node.kind == "name":
        found.add(node.text)
        return node.text
    if node.kind in ("mul", "add", "div", "sub"):
        up, down = _flat(node, "mul" if node.kind in ("mul", "div") else "add")
        ups, downs = sorted(_form(part, found) for part in up), sorted(_form(part, found) for part in down)
        name = "*" if node.kind in ("mul", "div") else "+"
        form = f"({name} {' '.join(ups)} | {' '.join(downs)})"
        # Every pair of factors or terms is a part of its own, so that a missing one does not cost all.
        sides = [*ups, *(f"~{each}" for each in downs)]
        found.update(f"{name}{a}&{b}" for at, a in enumerate(sides) for b in sides[at + 1 :] if len(sides) <= 20)
    else:
        form = f"({node.kind}{node.text} {' '.join(_form(part, found) for part in node.parts)})"
    found.add(form)
    return form


def _flat(node: Node, kind: str) -> tuple[list[Node], list[Node]]:
    """The factors above and below, or the terms with plus and minus."""
    straight, inverse = ("mul", "div") if kind == "mul" else ("add", "sub")
    if node.kind == straight:
        sides = [_flat(part, kind) for part in node.parts]
        return sides[0][0] + sides[1][0], sides[0][1] + sides[1][1]
    if node.kind == inverse:
        first, second = (_flat(part, kind) for part in node.parts)
        return first[0] + second[1], first[1] + second[0]
    return [node], []
