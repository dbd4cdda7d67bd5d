"""Numbers that tell how far a judge can be trusted, from labels, verdicts and confidences alone.

A preference is 1 for the first of two answers, -1 for the second and 0 for a tie. A number that its input does not
determine is None, never 0.
"""

from __future__ import annotations

import math
import random
from collections import Counter
from collections.abc import Hashable, Mapping, Sequence

__all__ = [
    "auc",
    "brier",
    "calibration_error",
    "cohen_kappa",
    "kendall_w",
    "luck_of_calibration",
    "mean",
    "ranks",
    "verbosity_bias",
]


def mean(values: Sequence[float]) -> float | None:
    """The arithmetic mean; None of nothing."""
    return math.fsum(values) / len(values) if values else None


def cohen_kappa(pairs: Sequence[tuple[Hashable, Hashable]]) -> float | None:
    """Agreement of two raters beyond what their own habits would give by chance: (p - e) / (1 - e) with p the share of
    pairs that are equal and e = sum over values of the product of both raters' shares (Cohen 1960).

    None for no pairs, and where both raters only ever said one and the same thing.

    >>> cohen_kappa([(1, 1), (1, 1), (-1, -1), (-1, 1)])
    0.5
    """
    count = len(pairs)
    if not count:
        return None
    ours, theirs = Counter(one for one, _ in pairs), Counter(other for _, other in pairs)
    chance = sum(ours[value] * theirs[value] for value in ours) / count**2
    if chance >= 1:
        return None
    return (sum(one == other for one, other in pairs) / count - chance) / (1 - chance)


def auc(right: Mapping[float, int], wrong: Mapping[float, int]) -> float | None:
    """How well scores tell right from wrong: the chance that a right one has the higher score, a tie counting one half
    (the area under the ROC curve). 0.5 without any relation; None where one of both is missing.

    Both map a score to how often it occurs.

    >>> auc({2.0: 1, 1.0: 1}, {1.0: 1, 0.0: 1})
    0.875
    """
    pairs = sum(right.values()) * sum(wrong.values())
    if not pairs:
        return None
    won, below = 0.0, 0
    for score in sorted({*right, *wrong}):
        here = wrong.get(score, 0)
        won += right.get(score, 0) * (below + here / 2)
        below += here
    return won / pairs


def verbosity_bias(rows: Sequence[tuple[bool, float]]) -> float | None:
    """P(judge agrees | the label is for the longer answer) - P(judge agrees | it is for the shorter), from -1 to 1
    (Saito et al. 2023, arXiv:2310.10076). 0 for a judge that is blind to length, 1 for one that always takes the
    longer, 0 for one that repeats the labels, however long what the labels prefer.

    ``rows`` are (whether the label is for the longer answer, agreement from 0 to 1). None where one of both is missing.
    """
    long = [agreed for longer, agreed in rows if longer]
    short = [agreed for longer, agreed in rows if not longer]
    if not long or not short:
        return None
    return math.fsum(long) / len(long) - math.fsum(short) / len(short)


def ranks(values: Sequence[float]) -> list[float]:
    """Rank of each value, 1 for the highest; equal values share the mean of their ranks.

    >>> ranks([0.5, 0.9, 0.5])
    [2.5, 1.0, 2.5]
    """
    ordered = sorted(range(len(values)), key=lambda index: -values[index])
    found = [0.0] * len(values)
    start = 0
    while start < len(ordered):
        end = start
        while end < len(ordered) and values[ordered[end]] == values[ordered[start]]:
            end += 1
        for index in ordered[start:end]:
            found[index] = (start + 1 + end) / 2
        start = end
    return found


def kendall_w(rankings: Sequence[Sequence[float]]) -> float | None:
    """How far rankings of the same items agree: Kendall's W, corrected for ties, from 0 to 1.

    W = 12 S / (m^2 (n^3 - n) - m T), with m rankings of n items, S the squared deviations of the rank sums from their
    mean, and T the sum of t^3 - t over ties of t items. By chance W is 1 / m on average. None for fewer than two
    rankings or items, and where every ranking is one tie.

    >>> kendall_w([[1, 2, 3], [1, 2, 3], [2, 1, 3]]) == 7 / 9
    True
    """
    count = len(rankings)
    if count < 2 or len(rankings[0]) < 2:
        return None
    items = len(rankings[0])
    sums = [math.fsum(ranking[item] for ranking in rankings) for item in range(items)]
    middle = math.fsum(sums) / items
    spread = math.fsum((each - middle) ** 2 for each in sums)
    ties = sum(size**3 - size for ranking in rankings for size in Counter(ranking).values())
    most = count**2 * (items**3 - items) - count * ties
    return 12 * spread / most if most else None


def calibration_error(confidences: Sequence[float], right: Sequence[bool], bins: int = 10) -> float | None:
    """The expected calibration error (Naeini et al. 2015): over ``bins`` equal parts of 0 to 1, the mean distance of
    a part's mean confidence from the share that is right in it, weighted by how many fall into it.

    Of few answers it is above 0 by luck alone; see ``luck_of_calibration``.
    """
    if not confidences:
        return None
    parts: dict[int, list[tuple[float, bool]]] = {}
    for confidence, hit in zip(confidences, right, strict=True):
        parts.setdefault(min(int(confidence * bins), bins - 1), []).append((confidence, hit))
    gaps = [abs(math.fsum(c for c, _ in part) - sum(hit for _, hit in part)) for part in parts.values()]
    return math.fsum(gaps) / len(confidences)


def luck_of_calibration(
    confidences: Sequence[float], bins: int = 10, *, seed: int = 0, rounds: int = 200
) -> float | None:
    """The calibration error that a perfectly calibrated judge with these confidences would have on average."""
    if not confidences:
        return None
    chance = random.Random(seed)
    found = [
        calibration_error(confidences, [chance.random() < each for each in confidences], bins) for _ in range(rounds)
    ]
    return mean([each for each in found if each is not None])


def brier(probabilities: Sequence[float], happened: Sequence[bool]) -> float | None:
    """The mean squared distance of a probability from what happened (Brier 1950): 0 is best, 0.25 is what one half
    earns always."""
    return mean([(each - hit) ** 2 for each, hit in zip(probabilities, happened, strict=True)])
