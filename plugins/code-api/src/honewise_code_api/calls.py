"""Calls in Python text: what is called, with which plain values, and where each part stands. Nothing is evaluated."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

__all__ = ["NOT_PLAIN", "Argument", "Call", "calls_within", "function_calls", "parsed", "repaired"]

_LONGEST = 20_000


class _NotPlain:
    def __repr__(self) -> str:
        return "NOT_PLAIN"


NOT_PLAIN = _NotPlain()
"""The value of an argument that is no literal: a name, a call, an expression."""


@dataclass(frozen=True, slots=True)
class Argument:
    """``name`` is empty where it is given by position."""

    name: str
    value: Any
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Call:
    """``name`` is dotted. Positions are characters of the text that was read."""

    name: str
    arguments: tuple[Argument, ...]
    start: int
    name_end: int
    end: int
    plain: bool = True
    """False where it unpacks arguments (``*x``, ``**x``) or names one twice: what it is given cannot be told."""


def parsed(text: str) -> ast.Module | None:
    """The syntax tree; None where it is no Python, or too long or too deep to read."""
    if len(text) > _LONGEST:
        return None
    try:
        return ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


@lru_cache(maxsize=256)
def function_calls(text: str) -> tuple[Call, ...] | None:
    """An answer that is calls and nothing else: ``f(a=1)``, several to a list ``[f(a=1), g()]``, or one to a line.

    None where it is anything else. ``[]`` is no call at all, on purpose; so is text without anything.
    """
    tree = parsed(text.strip())
    if tree is None or not all(isinstance(node, ast.Expr) for node in tree.body):
        return None
    offset = len(text) - len(text.lstrip())
    places = _Places(text.strip(), offset)
    found: list[Call] = []
    for node in tree.body:
        assert isinstance(node, ast.Expr)
        several = node.value.elts if isinstance(node.value, ast.List | ast.Tuple) else [node.value]
        for each in several:
            call = _call(each, places) if isinstance(each, ast.Call) else None
            if call is None:
                return None
            found.append(call)
    return tuple(found)


@lru_cache(maxsize=256)
def calls_within(text: str) -> tuple[Call, ...] | None:
    """Every call of a named thing in a program, in the order of the text; None where it is no Python."""
    tree = parsed(text)
    if tree is None:
        return None
    places = _Places(text, 0)
    found = [_call(node, places) for node in ast.walk(tree) if isinstance(node, ast.Call)]
    return tuple(sorted((call for call in found if call is not None), key=lambda call: (call.start, -call.end)))


def repaired(text: str) -> str:
    """A call of a published table as Python: keywords that stand before a positional argument lose their names."""
    match = re.fullmatch(r"\s*([\w.]+)\((.*)\)\s*", text, re.DOTALL)
    if parsed(text) is not None or match is None:
        return text
    parts = list(_split(match[2]))
    named = [re.match(r"\s*\w+\s*=(?!=)", part) for part in parts]
    last = max((index for index, name in enumerate(named) if name is None), default=-1)
    for index, name in enumerate(named):
        if name is not None and index < last:
            parts[index] = parts[index][name.end() :]
    return f"{match[1]}({', '.join(part.strip() for part in parts)})"


def _split(text: str) -> Iterator[str]:
    """At commas that stand in no bracket and no quotes."""
    depth, quote, start = 0, "", 0
    for index, sign in enumerate(text):
        if quote:
            quote = "" if sign == quote else quote
        elif sign in "'\"":
            quote = sign
        elif sign in "([{":
            depth += 1
        elif sign in ")]}":
            depth -= 1
        elif sign == "," and depth == 0:
            yield text[start:index]
            start = index + 1
    if text[start:].strip():
        yield text[start:]


class _Places:
    """Characters of the text from the lines and UTF-8 columns of a tree."""

    def __init__(self, text: str, offset: int) -> None:
        self._lines = [line.encode("utf-8", "surrogatepass") for line in re.split(r"(?<=\n)|(?<=\r)(?!\n)", text)]
        self._starts = [offset]
        for line in self._lines:
            self._starts.append(self._starts[-1] + len(line.decode("utf-8", "surrogatepass")))

    def start(self, node: ast.expr | ast.keyword) -> int:
        return self._at(node.lineno, node.col_offset)

    def end(self, node: ast.expr | ast.keyword) -> int:
        return self._at(node.end_lineno or node.lineno, node.end_col_offset or 0)

    def _at(self, line: int, column: int) -> int:
        before = self._lines[line - 1][:column]
        return self._starts[line - 1] + len(before.decode("utf-8", "surrogatepass"))


def _call(node: ast.Call, places: _Places) -> Call | None:
    name = _dotted(node.func)
    if not name:
        return None
    given: list[tuple[str, ast.expr, ast.expr | ast.keyword]] = [("", value, value) for value in node.args]
    given += [(keyword.arg or "", keyword.value, keyword) for keyword in node.keywords]
    arguments = [Argument(name, _value(value), places.start(place), places.end(place)) for name, value, place in given]
    starred = any(isinstance(value, ast.Starred) for value in node.args)
    plain = not starred and all(keyword.arg for keyword in node.keywords)
    start, name_end = places.start(node.func), places.end(node.func)
    return Call(name, tuple(arguments), start, name_end, places.end(node), plain)


def _dotted(node: ast.expr) -> str:
    parts: list[str] = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    if not isinstance(node, ast.Name):
        return ""
    return ".".join([node.id, *reversed(parts)])


def _value(node: ast.expr) -> Any:
    try:
        return ast.literal_eval(node)
    except (ValueError, TypeError, SyntaxError, RecursionError, MemoryError):
        return NOT_PLAIN
