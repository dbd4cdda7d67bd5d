"""Finding passages by words: BM25, small and without an index on disk."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

from .segment import chunks, words_of

__all__ = ["Bm25", "chunks"]


class Bm25:
    """Okapi BM25 over passages.

    The score of passage d for a query is the sum over the query's words w (each counted once) of
    idf(w) f (k1 + 1) / (f + k1 (1 - b + b |d| / mean |d|)), f how often w stands in d, and
    idf(w) = ln(1 + (N - n + .5) / (n + .5)) for n of N passages that have w.

    Words are those of any script in one case; Chinese, Japanese, Korean, Thai and Lao as pairs of characters.
    """

    def __init__(self, passages: Sequence[str], *, k1: float = 1.5, b: float = 0.75) -> None:
        self._k1, self._b = k1, b
        self._counts = [Counter(words_of(passage)) for passage in passages]
        self._lengths = [sum(counts.values()) for counts in self._counts]
        self._mean = sum(self._lengths) / len(self._lengths) if self._lengths else 0.0
        self._having: Counter[str] = Counter(word for counts in self._counts for word in counts)

    def scores(self, query: str) -> list[float]:
        """One for each passage; 0 where they share no word."""
        total = len(self._counts)
        words = dict.fromkeys(words_of(query))
        idf = {
            word: math.log(1 + (total - having + 0.5) / (having + 0.5))
            for word in words
            if (having := self._having[word])
        }
        found = []
        for counts, length in zip(self._counts, self._lengths, strict=True):
            norm = self._k1 * (1 - self._b + self._b * length / self._mean) if self._mean else 0.0
            hits = ((weight, counts[word]) for word, weight in idf.items() if counts[word])
            found.append(math.fsum(weight * often * (self._k1 + 1) / (often + norm) for weight, often in hits))
        return found

    def top(self, query: str, count: int) -> list[int]:
        """The places of the best passages, best first, earlier ones first among equals; those that share no word with
        the query are left out."""
        scores = self.scores(query)
        ranked = sorted(range(len(scores)), key=lambda place: (-scores[place], place))
        return [place for place in ranked[:count] if scores[place] > 0]
