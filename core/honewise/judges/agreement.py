"""How far rankings of the same things agree: Kendall's W, with ties, and which items to keep by it."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["Concordance", "keep_concordant", "kendall_w", "mid_ranks"]


@dataclass(frozen=True, slots=True)
class Concordance:
    """Kendall's coefficient of concordance of m rankings of n things."""

    w: float
    """1: all rankings are equal; the mean of random ones is 1/m. It tells how steady a judge is, not how right."""
    chi_square: float
    """Friedman's statistic, m (n - 1) W: about chi-square with n - 1 degrees of freedom for random rankings."""
    rankings: int
    things: int


def kendall_w(rankings: Sequence[Sequence[float]]) -> Concordance:
    """W = 12 S / (m^2 (n^3 - n) - m T), S the squared deviations of the rank sums, T the sum of t^3 - t over ties.

    Args:
        rankings: m of them, each with the ranks of the same n things; tied things share the mean of their ranks.

    Where every ranking ties everything, nothing is told apart and W is 0. Raises ``ValueError`` with fewer than two
    rankings or things, or with rankings of different length.

    >>> kendall_w([[1, 2, 3], [1, 2, 3]]).w, kendall_w([[1, 2], [2, 1]]).w
    (1.0, 0.0)
    """
    m, n = len(rankings), len(rankings[0]) if rankings else 0
    if m < 2 or n < 2 or any(len(ranks) != n for ranks in rankings):
        raise ValueError("W needs two or more rankings of the same two or more things")
    sums = [math.fsum(ranks[thing] for ranks in rankings) for thing in range(n)]
    deviations = math.fsum((each - m * (n + 1) / 2) ** 2 for each in sums)
    ties = sum(count**3 - count for ranks in rankings for count in Counter(ranks).values())
    most = m**2 * (n**3 - n) - m * ties
    w = 12 * deviations / most if most else 0.0
    return Concordance(w, m * (n - 1) * w, m, n)


def mid_ranks(values: Sequence[float]) -> list[float]:
    """The rank of each value, 1 for the smallest; equal values share the mean of their ranks.

    >>> mid_ranks([0.5, 0.1, 0.5])
    [2.5, 1.0, 2.5]
    """
    order = sorted(range(len(values)), key=values.__getitem__)
    ranks = [0.0] * len(values)
    at = 0
    while at < len(order):
        end = at
        while end < len(order) and values[order[end]] == values[order[at]]:
            end += 1
        for place in order[at:end]:
            ranks[place] = (at + 1 + end) / 2
        at = end
    return ranks


def keep_concordant(
    ws: Sequence[float], fraction: float | None = None, *, at_least: float | None = None
) -> tuple[int, ...]:
    """The indices to keep, in order: the given fraction with the highest W (rounded up, earlier ones first among equal
    ones), or all with W of ``at_least`` or more.

    >>> keep_concordant([0.2, 0.9, 0.5, 0.9], 0.5), keep_concordant([0.2, 0.9], at_least=0.5)
    ((1, 3), (1,))
    """
    if (fraction is None) == (at_least is None):
        raise ValueError("give either a fraction to keep or the least W")
    if at_least is not None:
        return tuple(index for index, w in enumerate(ws) if w >= at_least)
    assert fraction is not None
    if not 0 <= fraction <= 1:
        raise ValueError(f"a fraction is from 0 to 1; given: {fraction:g}")
    count = math.ceil(fraction * len(ws) - 1e-9)
    best = sorted(range(len(ws)), key=lambda index: (-ws[index], index))[:count]
    return tuple(sorted(best))
