"""How unlike each other texts are, and how much a text repeats itself. Texts are lists of tokens of any kind."""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from itertools import combinations
from typing import Literal

__all__ = ["Entailment", "cosine_diversity", "distinct", "ead", "mean_ead", "nli_diversity", "repetition"]

Tokens = Sequence[Hashable]
Entailment = Literal["entailment", "neutral", "contradiction"]


def distinct(texts: Sequence[Tokens], n: int) -> float | None:
    """distinct-n (Li et al. 2016): different n-grams over all n-grams, above 0 to 1. Falls as texts grow longer,
    whatever they say; None where no text has n tokens."""
    different, total = _counted(texts, n)
    return different / total if total else None


def ead(texts: Sequence[Tokens], n: int, *, vocabulary: int) -> float | None:
    """Expectation-adjusted distinct-n (Liu et al. 2022): N / (V (1 - ((V - 1) / V)^C)), with N different ones of C
    n-grams and V the size of the vocabulary that tokens come from; about 1 where tokens are drawn evenly from it,
    however long the texts.

    Raises ``ValueError`` for a vocabulary below 1. None where no text has n tokens.

    >>> texts = ["i am going".split(), "i am going".split(), "lets go i i".split()]
    >>> round(ead(texts, 1, vocabulary=50257), 6)
    0.500045
    """
    if vocabulary < 1:
        raise ValueError(f"a vocabulary of {vocabulary} words; give the number of different tokens there can be")
    different, total = _counted(texts, n)
    if not total:
        return None
    if vocabulary == 1:
        return float(different)
    return different / (-vocabulary * math.expm1(total * math.log1p(-1 / vocabulary)))


def mean_ead(texts: Sequence[Tokens], *, vocabulary: int, longest: int = 5) -> float | None:
    """The mean of ``ead`` over n = 1 to ``longest`` (Kirk et al. 2023, arXiv:2310.06452), as far as texts are long
    enough."""
    found = [value for n in range(1, longest + 1) if (value := ead(texts, n, vocabulary=vocabulary)) is not None]
    return math.fsum(found) / len(found) if found else None


def repetition(text: Tokens, n: int = 4) -> float | None:
    """The share of a text's n-grams that stood in it before: 1 - distinct-n; None of a text below n tokens.

    >>> repetition("a b c d a b c d".split())
    0.2
    """
    different, total = _counted([text], n)
    return (total - different) / total if total else None


def cosine_diversity(vectors: Sequence[Sequence[float]]) -> float | None:
    """1 - the mean cosine of all pairs of vectors, 0 to 2; None for fewer than two. What it says of texts depends on
    who made the vectors: with those of Sentence-BERT it is the measure of that name."""
    lengths = [math.sqrt(math.fsum(x * x for x in vector)) for vector in vectors]
    cosines = [
        math.fsum(x * y for x, y in zip(vectors[i], vectors[j], strict=True)) / (lengths[i] * lengths[j])
        for i, j in combinations(range(len(vectors)), 2)
        if lengths[i] and lengths[j]
    ]
    return 1 - math.fsum(cosines) / len(cosines) if cosines else None


def nli_diversity(texts: Sequence[str], infer: Callable[[str, str], Entailment]) -> float | None:
    """Mean over all pairs of +1 for each direction in which one text contradicts the other and -1 for each in which it
    entails it: from -2, all texts say the same, to 2, all contradict each other. Higher is more diverse.

    ``infer(premise, hypothesis)`` is a classifier of natural language inference. The code released with
    arXiv:2310.06452 has the sign the other way round.
    """
    worth: Mapping[str, int] = {"entailment": -1, "neutral": 0, "contradiction": 1}
    found = [worth[infer(one, other)] + worth[infer(other, one)] for one, other in combinations(texts, 2)]
    return sum(found) / len(found) if found else None


def _grams(text: Tokens, n: int) -> Iterator[tuple[Hashable, ...]]:
    return zip(*(text[start:] for start in range(n)), strict=False)


def _counted(texts: Sequence[Tokens], n: int) -> tuple[int, int]:
    """Different n-grams, and all; none reaches over the end of a text."""
    seen: set[tuple[Hashable, ...]] = set()
    total = 0
    for text in texts:
        seen.update(_grams(text, n))
        total += max(len(text) - n + 1, 0)
    return len(seen), total
