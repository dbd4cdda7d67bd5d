"""Sums over whole numbers: reading them, working them out step by step, making them up."""

from __future__ import annotations

import operator
import random
import re
from collections.abc import Iterator
from dataclasses import dataclass

__all__ = ["Step", "parse_expression", "random_expressions", "work_out"]

_TOKEN = re.compile(r"\s*(?:([0-9]{1,9})|([+*-]))")
_OPERATIONS = {"+": operator.add, "-": operator.sub, "*": operator.mul}
MOST_NUMBERS = 20


@dataclass(frozen=True, slots=True)
class Step:
    """One operation with its result."""

    left: int
    sign: str
    right: int
    result: int

    def __str__(self) -> str:
        return f"{self.left}{self.sign}{self.right}={self.result}"

    @property
    def true(self) -> bool:
        return bool(_OPERATIONS[self.sign](self.left, self.right) == self.result)

    @property
    def key(self) -> tuple[str, tuple[int, int], int]:
        """Equal for steps that say the same: the order of summands and of factors does not matter."""
        pair = (self.left, self.right)
        return self.sign, pair if self.sign == "-" else (min(pair), max(pair)), self.result


def parse_expression(text: str) -> tuple[list[int], list[str]]:
    """The numbers and the signs between them. ``ValueError`` where ``text`` is no sum of 2 to 20 whole numbers.

    >>> parse_expression("12 + 7 * 3")
    ([12, 7, 3], ['+', '*'])
    """
    numbers: list[int] = []
    signs: list[str] = []
    at, text = 0, text.rstrip()
    while at < len(text):
        match = _TOKEN.match(text, at)
        wants_number = len(numbers) == len(signs)
        if match is None or (match[1] is None) == wants_number:
            wanted = "a whole number of at most 9 digits" if wants_number else "one of + - *"
            raise ValueError(f"expected {wanted} at position {at} of {text!r}")
        if match[1] is not None:
            numbers.append(int(match[1]))
        else:
            signs.append(match[2])
        at = match.end()
    if not 2 <= len(numbers) <= MOST_NUMBERS or len(numbers) == len(signs):
        raise ValueError(f"expected 2 to {MOST_NUMBERS} numbers with + - * between them, not {text!r}")
    return numbers, signs


def work_out(text: str) -> list[Step]:
    """The steps to the value, products first, each from left to right; the last one's result is the value.

    >>> [str(step) for step in work_out("12 + 7 * 3")]
    ['7*3=21', '12+21=33']
    """
    numbers, signs = parse_expression(text)
    steps = []
    while signs:
        at = signs.index("*") if "*" in signs else 0
        left, sign, right = numbers[at], signs.pop(at), numbers.pop(at + 1)
        numbers[at] = _OPERATIONS[sign](left, right)
        steps.append(Step(left, sign, right, numbers[at]))
    return steps


def random_expressions(numbers: int, largest: int, count: int, seed: int) -> Iterator[str]:
    """At most ``count`` different expressions of so many numbers in 0..largest, the same ones for the same seed."""
    base, signs = largest + 1, "+-*"
    space = base**numbers * len(signs) ** (numbers - 1)
    rng = random.Random(f"honewise arithmetic {seed} {numbers} {largest}")
    drawn: set[int] = set()
    while len(drawn) < min(count, space):
        index = rng.randrange(space)
        if index in drawn:
            continue
        drawn.add(index)
        index, first = divmod(index, base)
        parts = [str(first)]
        for _ in range(numbers - 1):
            index, number = divmod(index, base)
            index, sign = divmod(index, len(signs))
            parts += [signs[sign], str(number)]
        yield " ".join(parts)
