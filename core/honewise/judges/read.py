"""Readers of replies for ``JudgeTemplate.parse``: the last verdict binds, and one that is not on offer is none.

An answer that is judged may contain a verdict, and a judge may quote it; what counts is what the judge says last. All
of them take time linear in the length of the reply and raise ``ValueError`` where there is no usable verdict.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping, Sequence

from honewise.contracts import Verdict

__all__ = ["MARKS", "choice", "json_number", "last_line", "last_object", "number_reader", "scale", "word_reader"]

MARKS = "*_`#>\"' \t()[]"
"""What may stand around a verdict and says nothing."""
_TRIES = 50


def scale(
    low: float, high: float, *, label: str = "Score", to: tuple[float, float] = (0.0, 1.0)
) -> Callable[[str], Verdict]:
    """A number from ``low`` to ``high`` on a line ``LABEL: number`` (or a reply that is nothing but a number), mapped
    to the range ``to``. ``7/10`` and ``7 out of 10`` are read where ``high`` is 10.

    >>> scale(0, 10)("Clear enough.\\nScore: 7").value
    0.7
    """
    number = number_reader(low, high)
    least, most = to

    def read(reply: str) -> Verdict:
        said, before = last_line(reply, label)
        return Verdict(least + (most - least) * ((number(said) - low) / (high - low)), before)

    return read


def choice(values: Mapping[str, float], *, label: str = "Verdict") -> Callable[[str], Verdict]:
    """The value of one of the words in ``values``, on a line ``LABEL: word`` (or a reply that is nothing but the word).

    Upper and lower case are alike.

    >>> choice({"yes": 1.0, "no": 0.0})("It runs, so: Verdict: yes\\nVerdict: **No**").value
    0.0
    """
    word = word_reader(tuple(values))

    def read(reply: str) -> Verdict:
        said, before = last_line(reply, label)
        return Verdict(float(values[word(said)]), before)

    return read


def json_number(field: str, low: float, high: float, *, rationale: str = "") -> Callable[[str], Verdict]:
    """The number ``field`` of the last JSON object in the reply, from ``low`` to ``high``, mapped to 0 to 1; the text
    ``rationale`` of the same object goes along.

    >>> json_number("score", 0, 4)('Well: {"score": 3}').value
    0.75
    """
    if not low < high:
        raise ValueError(f"{low:g} is not below {high:g}")

    def read(reply: str) -> Verdict:
        found = last_object(reply)
        value = found.get(field)
        if isinstance(value, bool) or not isinstance(value, int | float) or value != value:
            raise ValueError(f"the last JSON object has no number {field!r}")
        if not low <= value <= high:  # an integer of any length can be compared, but not be made a float
            raise ValueError(f"{str(value)[:20]} is not between {low:g} and {high:g}")
        return Verdict((value - low) / (high - low), str(found.get(rationale, "")) if rationale else "")

    return read


def number_reader(low: float, high: float) -> Callable[[str], float]:
    """Reads a number from ``low`` to ``high`` that stands alone, but for marks and, where ``high`` is 10, ``/10``."""
    if not low < high:
        raise ValueError(f"{low:g} is not below {high:g}")
    of = re.compile(rf"\s*(?:/|out of)\s*{re.escape(f'{high:g}')}(?:\.0+)?$", re.IGNORECASE)

    def read(said: str) -> float:
        text = of.sub("", said.strip(MARKS + ".")).strip(MARKS)
        try:
            number = float(text) if re.fullmatch(r"[+-]?\d+(\.\d+)?", text) else math.nan
        except ValueError:
            number = math.nan
        if not math.isfinite(number):
            raise ValueError(f"'{said[:40]}' is no number")
        if not low <= number <= high:
            raise ValueError(f"{number:g} is not between {low:g} and {high:g}")
        return number

    return read


def word_reader(words: Sequence[str]) -> Callable[[str], str]:
    """Reads one of ``words`` that stands alone, but for marks; returns it as it is spelt there."""
    menu = {word.casefold(): word for word in words}
    if len(menu) < 2 or len(menu) != len(words):
        raise ValueError("give at least two words that differ in more than case")

    def read(said: str) -> str:
        word = said.strip(MARKS + ".!").casefold()
        if word not in menu:
            raise ValueError(f"'{said[:40]}' is none of {', '.join(words)}")
        return menu[word]

    return read


def last_line(reply: str, label: str) -> tuple[str, str]:
    """What stands after the last ``LABEL:`` that begins a line, and all before it; a reply of one line may be all."""
    wanted = label.casefold()
    lines = reply.splitlines()
    for at in range(len(lines) - 1, -1, -1):
        head, colon, tail = lines[at].partition(":")
        if colon and head.strip(MARKS).casefold() == wanted:
            return tail.strip(MARKS), "\n".join(lines[:at]).strip()
    if len(lines) != 1:
        raise ValueError(f"no line begins with '{label}:'")
    return lines[0].strip(MARKS), ""


def last_object(reply: str) -> Mapping[str, object]:
    """The last JSON object that is not part of another one. Raises ``ValueError`` where there is none."""
    decoder = json.JSONDecoder()
    at, found, tries = 0, None, 0
    starts = [match.start() for match in re.finditer(r"\{", reply)]
    for start in starts if len(starts) <= _TRIES else starts[-_TRIES:]:
        if start < at or tries > _TRIES:
            continue
        tries += 1
        try:
            value, end = decoder.raw_decode(reply, start)
        except (ValueError, RecursionError):
            continue
        at, found = end, value
    if not isinstance(found, dict):
        raise ValueError("the reply has no JSON object")
    return found
