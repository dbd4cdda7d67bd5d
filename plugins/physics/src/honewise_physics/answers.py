"""Reading a final answer: a number with its unit, several answers, letters, a truth value, an interval."""

from __future__ import annotations

import re
from dataclasses import dataclass

from .grammar import Node, read
from .lexer import Token, tokens
from .quantity import Quantity, evaluate
from .units import NONE

__all__ = ["Reading", "letters_in", "read_interval", "read_number", "split_answers", "truth_in"]

_MOST_WORDS = 8
_OPEN, _CLOSED = ("(", "[", "{"), (")", "]", "}")


@dataclass(frozen=True, slots=True)
class Reading:
    """A number as it was written, and what it is in SI."""

    number: float
    """In the unit written."""
    digits: int
    """Significant digits; 0 for an expression."""
    rounded: bool
    """Whether it was written with decimals or a power of ten."""
    unit: str
    """As written; empty where there is none."""
    quantity: Quantity
    """With temperatures as differences."""
    absolute: Quantity
    """With a temperature on its scale."""
    number_at: tuple[int, int]
    unit_at: tuple[int, int]
    """Where number and unit stand in the text that was read; an empty unit stands at the number's end."""


def read_number(text: str) -> Reading | None:
    """The one number, with or without a unit, that ``text`` gives; None where it gives none or several.

    What stands before the last ``=`` is dropped, so are words around the number and an uncertainty after ``±``.

    >>> reading = read_number(r"v = 3.0 \\times 10^{2} m/s upwards")
    >>> reading.number, reading.unit, reading.digits
    (300.0, 'm/s', 2)
    """
    found = tokens(text)
    if not found:
        return None
    found = _certain(_after_equals(found))
    found = _trimmed(found)
    for dropped in range(min(_MOST_WORDS, len(found)) + 1):
        kept = found[: len(found) - dropped]
        if not kept or (dropped and not _is_word(found[len(found) - dropped])):
            return None
        reading = _read(text, kept)
        if reading is not None:
            return reading
    return None


def _after_equals(found: list[Token]) -> list[Token]:
    for at in range(len(found) - 1, -1, -1):
        if found[at].kind == "sign" and found[at].text in ("=", "~"):
            return found[at + 1 :]
    return found


def _certain(found: list[Token]) -> list[Token]:
    for at, token in enumerate(found):
        if (
            token.kind == "sign"
            and token.text == "pm"
            and at
            and at + 1 < len(found)
            and found[at + 1].kind == "number"
        ):
            return found[:at] + found[at + 2 :]
    return found


def _trimmed(found: list[Token]) -> list[Token]:
    start, end = 0, len(found)
    while start < end and start < _MOST_WORDS and found[start].kind in ("name", "other") and found[start].text != "π":
        start += 1
    while end > start and found[end - 1].kind == "other":
        end -= 1
    return found[start:end]


def _is_word(token: Token) -> bool:
    return token.kind == "other" or (token.kind == "name" and len(token.text) > 1) or token.text in (",", ";", "!", ":")


def _read(text: str, found: list[Token]) -> Reading | None:
    split = next((at for at, token in enumerate(found) if _begins_unit(found, at, token)), len(found))
    number, unit = found[:split], found[split:]
    if unit and number and number[-1].text in ("*", "/"):
        number = number[:-1]
    node = read(number, units=False) if number else None
    plain = evaluate(node) if node is not None else None
    written = read(unit) if unit else None
    scale = evaluate(written) if written is not None else None
    if node is None or plain is None or (unit and (scale is None or not _only_units(written))):
        return _whole(found)
    sole = found[0] if len(number) == 1 else found[1] if len(number) == 2 and number[0].text in "+-" else None
    at = (number[0].start, number[-1].end)
    if scale is None or written is None:
        return _made(plain.value, sole, "", plain, plain, at, (at[1], at[1]))
    quantity = Quantity(plain.value * scale.value, scale.dimension, plain.error * scale.value, True)
    offset = written.unit.offset if written.unit is not None else 0.0
    absolute = Quantity(quantity.value + offset, quantity.dimension, quantity.error, True)
    where = (unit[0].start, unit[-1].end)
    return _made(plain.value, sole, text[where[0] : where[1]], quantity, absolute, at, where)


def _begins_unit(found: list[Token], at: int, token: Token) -> bool:
    """The first unit after the number; ``5e`` and the like are left to the reader of the whole."""
    if at == 0 or token.kind != "name" or token.text == "π":
        return False
    return not (found[at - 1].kind == "sign" and found[at - 1].text in "+-^(")


def _only_units(node: Node | None) -> bool:
    if node is None:
        return False
    if node.kind in ("mul", "div"):
        first, second = node.parts
        one = node.kind == "div" and first.kind == "number" and first.value == 1.0
        return (one or _only_units(first)) and _only_units(second)
    return node.kind == "unit" or (node.kind == "pow" and _only_units(node.parts[0]))


def _whole(found: list[Token]) -> Reading | None:
    node = read(found)
    quantity = evaluate(node) if node is not None else None
    if node is None or quantity is None or not any(token.kind == "number" or token.text == "π" for token in found):
        return None
    at = (found[0].start, found[-1].end)
    return _made(quantity.value, None, "" if quantity.dimension == NONE else "SI", quantity, quantity, at, at)


def _made(
    value: float,
    sole: Token | None,
    unit: str,
    quantity: Quantity,
    absolute: Quantity,
    number_at: tuple[int, int],
    unit_at: tuple[int, int],
) -> Reading:
    digits = sole.digits if sole is not None else 0
    rounded = sole is not None and sole.error > 0
    return Reading(value, digits, rounded, unit, quantity, absolute, number_at, unit_at)


def split_answers(text: str) -> list[tuple[int, str]]:
    """Where each of several answers starts, and the answer: cut at commas, semicolons and "and" outside brackets.

    ``±2`` is two answers, 2 and -2. A comma inside a number is no cut.

    >>> split_answers("3 m, 1,500 J and (1, 2)")
    [(0, '3 m'), (5, '1,500 J'), (17, '(1, 2)')]
    """
    found = tokens(text)
    if not found:
        return [(0, text)] if text.strip() else []
    pieces: list[tuple[int, str]] = []
    depth, start, end = 0, found[0].start, found[0].start
    for token in found:
        if token.kind == "sign":
            depth += (token.text in _OPEN) - (token.text in _CLOSED)
        cut = token.text in (",", ";") if token.kind == "sign" else token.kind == "name" and token.text in ("and", "or")
        if cut and depth <= 0:
            pieces.append((start, text[start:end]))
            start = token.end
        end = token.end
    pieces.append((start, text[start:end]))
    kept = []
    for at, piece in pieces:
        bare = piece.lstrip()
        if bare.strip():
            kept.append((at + len(piece) - len(bare), bare.rstrip()))
    return [each for at, piece in kept for each in _both_signs(at, piece)]


def _both_signs(at: int, piece: str) -> list[tuple[int, str]]:
    for mark in ("±", r"\pm"):
        if piece.startswith(mark):
            bare = piece[len(mark) :]
            return [(at, bare), (at, f"-{bare}")]
    return [(at, piece)]


_LETTER = re.compile(r"(?<![^\W_])([A-J])(?![^\W_])")
_LETTERS = re.compile(r"[\s(\[*$]*([A-Ja-j](?:[\s,;&()]*(?:and|or)?[\s,;&()]*[A-Ja-j]){0,9})[\s)\].*$:]*")


def letters_in(text: str) -> frozenset[str]:
    """The options that an answer names: ``B``, ``(b)``, ``A, C``, ``AC``, ``Option D: 5 N``; empty where it names
    none.
    """
    text = re.sub(r"\\(?:text|mathrm|mathbf|textbf)\b|[{}]", " ", text.strip()[:400]).strip()
    whole = _LETTERS.fullmatch(text)
    if whole:
        return frozenset(each for each in whole[1].replace("and", "").replace("or", "").upper() if "A" <= each <= "J")
    begun = re.match(r"[(\[*]*([A-Ja-j])[)\].:*]", text)
    if begun:
        return frozenset(begun[1].upper())
    return frozenset(_LETTER.findall(re.sub(r"\bI\b", " ", text)))


_TRUTHS = {
    "true": True,
    "yes": True,
    "correct": True,
    "t": True,
    "false": False,
    "no": False,
    "incorrect": False,
    "f": False,
}


def truth_in(text: str) -> bool | None:
    """What a true-or-false answer says; None where it says neither, or both."""
    words = {word for word in re.findall(r"[a-z]+", text[:400].lower()) if word in _TRUTHS}
    said = {_TRUTHS[word] for word in words}
    return said.pop() if len(said) == 1 else None


def read_interval(text: str) -> tuple[str, Reading, Reading, str] | None:
    """``[1 m, 2 m)`` as its brackets and ends; None where it is none."""
    found = tokens(text)
    if not found or len(found) < 5:
        return None
    found = _after_equals(found)
    if not found or found[0].text not in ("(", "[") or found[-1].text not in (")", "]"):
        return None
    commas = [at for at, token in enumerate(found) if token.kind == "sign" and token.text in (",", ";")]
    if len(commas) != 1:
        return None
    low = read_number(text[found[0].end : found[commas[0]].start])
    high = read_number(text[found[commas[0]].end : found[-1].start])
    if low is None or high is None:
        return None
    return found[0].text, low, high, found[-1].text
