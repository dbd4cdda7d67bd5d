"""How alike two texts are worded: METEOR and ROUGE-L, for question-and-answer data in the manner of PhyQA."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from itertools import pairwise

__all__ = ["MOST_WORDS", "meteor", "rouge_l", "words"]

MOST_WORDS = 2_000
"""Words of a text that are looked at."""

_WORD = re.compile(r"[^\W_]+(?:\.[0-9]+)?|[^\w\s]")
_ENDINGS = (
    "ational",
    "ization",
    "ations",
    "ation",
    "ingly",
    "edly",
    "ness",
    "ment",
    "ing",
    "ies",
    "ied",
    "ed",
    "es",
    "ly",
    "s",
)


@lru_cache(maxsize=1024)
def words(text: str) -> tuple[str, ...]:
    """Words, numbers and punctuation marks in lower case, the first ``MOST_WORDS`` of them."""
    found = []
    for match in _WORD.finditer(text[: 20 * MOST_WORDS]):
        found.append(match[0].casefold())
        if len(found) == MOST_WORDS:
            break
    return tuple(found)


def rouge_l(reference: str, said: str) -> float:
    """ROUGE-L (Lin 2004) as F1: the longest common subsequence over the mean length, in words; in [0, 1].

    >>> rouge_l("the force is six newtons", "the force is 6 newtons")
    0.8
    """
    one, other = words(reference), words(said)
    if not one or not other:
        return 0.0
    return 2 * _common(one, other) / (len(one) + len(other))


def _common(one: Sequence[str], other: Sequence[str]) -> int:
    """Length of the longest common subsequence, a row at a time in the bits of one integer (Hyyrö 2004)."""
    places: dict[str, int] = {}
    for at, word in enumerate(one):
        places[word] = places.get(word, 0) | (1 << at)
    full = (1 << len(one)) - 1
    row = full
    for word in other:
        hit = row & places.get(word, 0)
        row = ((row + hit) | (row - hit)) & full
    return len(one) - row.bit_count()


def meteor(reference: str, said: str, *, alpha: float = 0.9, beta: float = 3.0, gamma: float = 0.5) -> float:
    """METEOR (Banerjee and Lavie 2005) with exact and stem matches, without synonyms; in [0, 1].

    ``(1 - gamma * (chunks / matches)^beta) * P R / (alpha P + (1 - alpha) R)``; the parameters are NLTK's. Words are
    matched
    from the left, exact ones before those that share a stem.

    >>> round(meteor("the ball falls", "the ball falls"), 4)
    0.9815
    """
    one, other = words(reference), words(said)
    pairs = _matched(one, other)
    if not pairs:
        return 0.0
    precision, recall = len(pairs) / len(other), len(pairs) / len(one)
    mean = precision * recall / (alpha * precision + (1 - alpha) * recall)
    chunks = 1 + sum((after[0] - before[0], after[1] - before[1]) != (1, 1) for before, after in pairwise(pairs))
    return mean * (1 - gamma * float((chunks / len(pairs)) ** beta))


def _matched(one: Sequence[str], other: Sequence[str]) -> list[tuple[int, int]]:
    """Pairs of places ``(in other, in one)``, in the order of ``other``. Among equal words the one that goes on is
    taken.
    """
    pairs: dict[int, int] = {}
    taken: set[int] = set()
    for form in (str, _stem):
        places: dict[str, list[int]] = {}
        for at, word in enumerate(one):
            if at not in taken:
                places.setdefault(form(word), []).append(at)
        for at, word in enumerate(other):
            free = places.get(form(word)) if at not in pairs else None
            if free:
                after = pairs.get(at - 1, -2) + 1
                chosen = after if after in free[:50] else free[0]
                free.remove(chosen)
                pairs[at] = chosen
                taken.add(chosen)
    return sorted(pairs.items())


def _stem(word: str) -> str:
    for ending in _ENDINGS:
        if word.endswith(ending) and len(word) - len(ending) >= 3:
            stem = word.removesuffix(ending)
            return stem[:-1] if len(stem) > 3 and stem[-1] == stem[-2] else stem.removesuffix("e")
    return word.removesuffix("e") if len(word) > 4 else word
