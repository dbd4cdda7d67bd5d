"""Rewards that need no domain: they look at the text and its length only."""

from __future__ import annotations

import re
import sys
import unicodedata
from collections.abc import Iterator, Sequence
from functools import cache

from honewise.contracts import Completion, Piece, Score, Span, Unscored, reward

__all__ = ["length", "repetition", "script"]

_WORD = re.compile(r"\w+|[^\w\s]")
_CHARACTER = re.compile(r"\S")


@reward(
    bounds=(-1.0, 0.0),
    exempt={
        "empty": "an empty text is not too long",
        "gold": "how long a gold answer is says nothing about its worth",
    },
)
def length(completion: Completion, *, limit: int = 512, buffer: int = 128) -> Score | Unscored:
    """The soft over-long charge of DAPO (arXiv 2503.14476, eq. 13), in generated tokens.

    0 up to ``limit - buffer`` tokens, falling linearly to -1 at ``limit``, -1 above it and wherever generation was
    cut off. Set ``limit`` to the stage's ``max_completion_length``. Unscored where nobody counted the tokens.
    """
    if not 0 < buffer <= limit:
        raise ValueError(f"buffer must lie in (0, limit]; given buffer={buffer}, limit={limit}")
    if completion.truncated:
        return Score(-1.0, feedback="cut off")
    if completion.tokens == 0 and completion.text:
        return Unscored("the number of tokens is unknown")
    over = completion.tokens - (limit - buffer)
    return Score(-min(max(over / buffer, 0.0), 1.0), feedback=f"{over} tokens over {limit - buffer}" * (over > 0))


@reward(
    bounds=(-1.0, 0.0),
    exempt={"empty": "an empty text repeats nothing", "gold": "a gold answer may have to repeat itself"},
)
def repetition(completion: Completion, *, size: int = 4, unit: str = "word") -> Score:
    """Minus the share of n-grams that stood before, charged where each repeat is completed.

    An n-gram is ``size`` units in a row: words and punctuation marks, compared without regard to case, or, with
    ``unit="character"`` (for scripts that do not separate words), characters other than white space.
    """
    if unit not in ("word", "character"):
        raise ValueError(f"unit must be 'word' or 'character', not {unit!r}")
    if size < 1:
        raise ValueError(f"size must be at least 1, not {size}")
    pattern = _WORD if unit == "word" else _CHARACTER
    units = [(match[0].casefold(), match.start(), match.end()) for match in pattern.finditer(completion.text)]
    total = len(units) - size + 1
    seen: set[tuple[str, ...]] = set()
    spans = []
    for first in range(max(total, 0)):
        gram = tuple(word for word, _, _ in units[first : first + size])
        if gram in seen:
            _, start, end = units[first + size - 1]
            spans.append(Span(start, end, -1 / total, "repeat"))
        seen.add(gram)
    return Score(spans=spans, parts={"repeated": float(len(spans))})


@reward(exempt={"gold": "whether the gold answer keeps to a script depends on the scripts asked for"})
def script(completion: Completion, *, scripts: Sequence[str] = ("LATIN",)) -> Score:
    """The share of letters that belong to the wanted ``scripts``; each foreign run is charged where it stands.

    A character's script is the first word of its Unicode name (LATIN, ARABIC, CYRILLIC, CJK, HANGUL, ...); digits,
    punctuation and marks belong to none. A text without letters earns 1, an empty one 0.
    """
    wanted = {name.upper() for name in ([scripts] if isinstance(scripts, str) else scripts)}
    if unknown := wanted - _scripts():
        raise ValueError(f"no script {', '.join(sorted(unknown))}; use the first word of a letter's Unicode name")
    if not completion.text:
        return Score(0.0)
    letters = sum(character.isalpha() for character in completion.text)
    foreign = list(_foreign_runs(completion.text, wanted))
    return Score(
        terminal=1.0,
        spans=[Piece(run, start).pays(-count / letters, "foreign script") for start, run, count in foreign],
        parts={"foreign": float(sum(count for _, _, count in foreign))},
    )


def _foreign_runs(text: str, wanted: set[str]) -> Iterator[tuple[int, str, int]]:
    """(start, text, number of letters) of each run of unwanted letters with their combining marks."""
    start, count = -1, 0
    for at, character in enumerate(text):
        mark = unicodedata.category(character).startswith("M")
        if character.isalpha() and _script_of(character) not in wanted:
            start, count = (start if start >= 0 else at), count + 1
        elif start >= 0 and not mark:
            yield start, text[start:at], count
            start, count = -1, 0
    if start >= 0:
        yield start, text[start:], count


def _script_of(letter: str) -> str:
    return unicodedata.name(letter, "").partition(" ")[0]


@cache
def _scripts() -> frozenset[str]:
    """Every first word in the Unicode names of letters."""
    letters = (chr(code) for code in range(sys.maxunicode + 1) if chr(code).isalpha())
    return frozenset(_script_of(letter) for letter in letters) - {""}
