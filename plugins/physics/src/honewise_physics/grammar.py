"""From tokens to expressions: sums, products, powers, functions, and numbers with their units.

The grammar is small and closed: there is no name that does anything, and nothing is ever evaluated but by
``quantity.evaluate`` (floats with dimensions) and ``symbolic`` (values at points, polynomials of bounded size). Depth
and
length are bounded, so that every text is read, or refused, in time linear in its length.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from .lexer import Token, tokens
from .units import Unit, unit_named

__all__ = ["MOST_DEPTH", "Node", "names_of", "read"]

MOST_DEPTH = 40
MOST_TOKENS = 600


@dataclass(frozen=True, slots=True)
class Node:
    """``number``, ``name``, ``unit``, or an operation (``add sub mul div pow neg call``) on ``parts``."""

    kind: str
    parts: tuple[Node, ...] = ()
    text: str = ""
    value: float = 0.0
    error: float = 0.0
    digits: int = 0
    unit: Unit | None = None


class _Unreadable(Exception):
    pass


def read(text: str | Sequence[Token], *, symbols: frozenset[str] = frozenset(), units: bool = True) -> Node | None:
    """The expression that all of ``text`` is; None where it is none, too long or too deep.

    Args:
        text: what was written, or its tokens.
        symbols: names that are quantities of the problem even where a unit has the same name.
        units: whether other names may be units at all; without, every name is a symbol.
    """
    found = tokens(text) if isinstance(text, str) else list(text)
    if not found or len(found) > MOST_TOKENS:
        return None
    try:
        reader = _Reader(found, symbols, units)
        node = reader.sum(0)
        return node if reader.at == len(found) else None
    except (_Unreadable, RecursionError):
        return None


def names_of(node: Node) -> set[str]:
    """The symbols in an expression."""
    found: set[str] = set()
    stack = [node]
    while stack:
        at = stack.pop()
        if at.kind == "name":
            found.add(at.text)
        stack.extend(at.parts)
    return found


class _Reader:
    def __init__(self, found: list[Token], symbols: frozenset[str], units: bool) -> None:
        self.found, self.at = found, 0
        self._symbols, self._units = symbols, units

    def sum(self, depth: int) -> Node:
        if depth > MOST_DEPTH:
            raise _Unreadable
        negative = self._take("-")
        if not negative:
            self._take("+")
        node = self._product(depth)
        if negative:
            node = Node("neg", (node,))
        while True:
            if self._take("+"):
                node = Node("add", (node, self._signed(depth)))
            elif self._take("-"):
                node = Node("sub", (node, self._signed(depth)))
            else:
                return node

    def _signed(self, depth: int) -> Node:
        return Node("neg", (self._product(depth),)) if self._take("-") else self._product(depth)

    def _product(self, depth: int) -> Node:
        node = self._factor(depth)
        while True:
            if self._take("*"):
                node = Node("mul", (node, self._negated(depth)))
            elif self._take("/"):
                node = Node("div", (node, self._negated(depth)))
            elif self._starts():
                node = Node("mul", (node, self._factor(depth)))
            else:
                return node

    def _negated(self, depth: int) -> Node:
        if self._take("-"):
            return Node("neg", (self._factor(depth),))
        self._take("+")
        return self._factor(depth)

    def _starts(self) -> bool:
        token = self._now()
        return token is not None and (
            token.kind in ("number", "name", "function") or token.text in ("(", "{", "[", "frac")
        )

    def _factor(self, depth: int) -> Node:
        token = self._now()
        if token is None or depth > MOST_DEPTH:
            raise _Unreadable
        base = self._atom(token, depth)
        if self._take("^"):
            base = _raised(base, self._exponent(depth), glued=token.kind == "name")
        if token.kind == "number":
            chain = self._chain(depth)
            if chain is not None:
                return Node("mul", (base, chain), "quantity")
        return base

    def _atom(self, token: Token, depth: int) -> Node:
        self.at += 1
        if token.kind == "number":
            return Node("number", (), token.text, token.value, token.error, token.digits)
        if token.kind == "function":
            return self._call(token.text, depth)
        if token.kind == "name":
            return self._name(token)
        if token.text == "frac":
            return Node("div", (self._argument(depth), self._argument(depth)))
        closing = {"(": ")", "{": "}", "[": "]"}.get(token.text)
        if closing is None:
            raise _Unreadable
        inner = self.sum(depth + 1)
        if not self._take(closing):
            raise _Unreadable
        return inner

    def _argument(self, depth: int) -> Node:
        """Of a LaTeX command: a group, else one token; ``\\frac12`` is one half."""
        token = self._now()
        if token is None:
            raise _Unreadable
        if token.kind == "number" and token.text.isdigit() and len(token.text) > 1:
            first, rest = token.text[0], token.text[1:]
            self.found[self.at] = Token("number", rest, token.start + 1, token.end, float(rest), 0.0, len(rest))
            return Node("number", (), first, float(first), 0.0, 1)
        return self._atom(token, depth + 1)

    def _exponent(self, depth: int) -> Node:
        if self._take("-"):
            return Node("neg", (self._exponent(depth + 1),))
        self._take("+")
        token = self._now()
        if token is None or depth > MOST_DEPTH:
            raise _Unreadable
        base = self._atom(token, depth + 1)
        return Node("pow", (base, self._exponent(depth + 1))) if self._take("^") else base

    def _call(self, name: str, depth: int) -> Node:
        if depth > MOST_DEPTH:
            raise _Unreadable
        if name == "sqrt" and self._take("["):
            root = self.sum(depth + 1)
            if not self._take("]"):
                raise _Unreadable
            return Node("pow", (self._argument(depth), Node("div", (Node("number", (), "1", 1.0, 0.0, 1), root))))
        power = self._exponent(depth + 1) if self._take("^") else None
        token = self._now()
        if token is None:
            raise _Unreadable
        if token.text in ("(", "{", "[", "frac") or name == "sqrt":
            inner = self._atom(token, depth + 1)
        elif token.kind == "function":
            inner = self._factor(depth + 1)
        else:
            inner = self._negated(depth + 1)
            while (token := self._now()) is not None and token.kind in ("number", "name"):
                inner = Node("mul", (inner, self._factor(depth + 1)))
        node = Node("call", (inner,), name)
        return node if power is None else Node("pow", (node, power))

    def _name(self, token: Token) -> Node:
        unit = _as_unit(token.text) if self._is_unit(token) else None
        if unit is not None:
            return unit
        if self._units and token.upright and token.text not in self._symbols:
            glued = _split(token.text)
            if glued is not None:
                return glued
        return Node("name", (), token.text)

    def _is_unit(self, token: Token) -> bool:
        return (
            self._units
            and token.kind == "name"
            and token.text not in self._symbols
            and _as_unit(token.text) is not None
        )

    def _chain(self, depth: int) -> Node | None:
        """The units right after a number; they bind closer than a division: ``6 N / 2 kg`` is 3 N/kg."""
        node: Node | None = None
        while (token := self._now()) is not None:
            here = self.at
            operator = token.text if token.kind == "sign" and token.text in "*/" else ""
            if operator:
                self.at += 1
                token = self._now()
            if token is None or (operator and node is None) or not self._unit_next(token):
                self.at = here
                return node
            if token.text == "(":
                part = self._atom(token, depth + 1)
            else:
                part = self._unit_factor(token, depth)
            if node is None:
                node = part
            else:
                node = Node("div" if operator == "/" else "mul", (node, part))
        return node

    def _unit_next(self, token: Token) -> bool:
        if token.text == "(":
            inner = self.found[self.at + 1] if self.at + 1 < len(self.found) else None
            closing = next((at for at in range(self.at, len(self.found)) if self.found[at].text == ")"), None)
            if inner is None or closing is None or not self._is_unit(inner):
                return False
            # Powers are the only numbers in a group of units.
            return all(
                each.kind != "number" or self.found[at - 1].text in ("^", "-", "{")
                for at, each in enumerate(self.found[self.at : closing], start=self.at)
            )
        return self._is_unit(token) or (
            self._units and token.kind == "name" and token.text not in self._symbols and _split(token.text) is not None
        )

    def _unit_factor(self, token: Token, depth: int) -> Node:
        self.at += 1
        unit = _as_unit(token.text) if self._is_unit(token) else None
        node = unit or _split(token.text)
        assert node is not None
        if not self._take("^"):
            return node
        return _raised(node, self._exponent(depth + 1), glued=True)

    def _now(self) -> Token | None:
        return self.found[self.at] if self.at < len(self.found) else None

    def _take(self, sign: str) -> bool:
        token = self._now()
        if token is not None and token.kind == "sign" and token.text == sign:
            self.at += 1
            return True
        return False


def _raised(base: Node, exponent: Node, *, glued: bool) -> Node:
    """A power; in ``Jmol^-1`` it is that of the last unit alone."""
    if glued and base.kind == "mul":
        return Node("mul", (base.parts[0], Node("pow", (base.parts[1], exponent))))
    return Node("pow", (base, exponent))


def _as_unit(name: str) -> Node | None:
    """A named unit; ``s2`` and ``m3`` are a square and a cube."""
    unit = unit_named(name)
    if unit is not None:
        return Node("unit", (), name, unit=unit)
    base = unit_named(name[:-1]) if len(name) > 1 and name[-1] in "23" else None
    if base is None:
        return None
    power = Node("number", (), name[-1], float(name[-1]), 0.0, 1)
    return Node("pow", (Node("unit", (), name[:-1], unit=base), power))


def _split(name: str) -> Node | None:
    """Two units written as one word, ``Nm`` or ``Jmol``; the longer first one goes before."""
    if not 2 <= len(name) <= 8:
        return None
    for at in range(len(name) - 1, 0, -1):
        first, second = unit_named(name[:at]), unit_named(name[at:])
        if first is not None and second is not None:
            return Node("mul", (Node("unit", (), name[:at], unit=first), Node("unit", (), name[at:], unit=second)))
    return None
