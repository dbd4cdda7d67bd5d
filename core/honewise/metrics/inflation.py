"""What a policy gains from being judged by somebody who sees less than there is (Lang et al. 2024, arXiv:2402.17747).

``true`` is what a completion is worth to one who sees all: tests that ran, a query that was executed. ``observed`` is
what the judge, who sees part of it, takes it to be worth. Both are on one scale.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["Scale", "Views", "fit_scale", "views"]


@dataclass(frozen=True, slots=True)
class Views:
    """Means over the completions of one policy. ``observed - true == over - under``, always."""

    true: float
    """J."""
    observed: float
    """J_obs."""
    over: float
    """E+: the mean of max(0, observed - true), what the judge believes too much."""
    under: float
    """E-: the mean of max(0, true - observed), what it does not believe."""

    def inflated_against(self, reference: Views) -> bool:
        """Deceptive inflation: the judge overestimates more than with the reference, and is better pleased."""
        return self.over > reference.over and self.observed > reference.observed

    def overjustified_against(self, reference: Views) -> bool:
        """Overjustification: true worth was given up so that the judge would underestimate less."""
        return self.under < reference.under and self.true < reference.true


def views(observed: Sequence[float], true: Sequence[float]) -> Views | None:
    """Both views of completions, one number each; None of nothing."""
    count = len(true)
    if not count:
        return None
    gaps = [seen - there for seen, there in zip(observed, true, strict=True)]
    return Views(
        true=math.fsum(true) / count,
        observed=math.fsum(observed) / count,
        over=math.fsum(max(0.0, gap) for gap in gaps) / count,
        under=math.fsum(max(0.0, -gap) for gap in gaps) / count,
    )


@dataclass(frozen=True, slots=True)
class Scale:
    """A straight line from a judge's scores to a verifier's."""

    slope: float
    offset: float

    def __call__(self, score: float) -> float:
        return self.offset + self.slope * score


def fit_scale(observed: Sequence[float], true: Sequence[float]) -> Scale | None:
    """The line from ``observed`` to ``true`` with the least squared error; None where all of ``observed`` is equal."""
    count = len(true)
    if not count:
        return None
    left, right = math.fsum(observed) / count, math.fsum(true) / count
    spread = math.fsum((seen - left) ** 2 for seen in observed)
    if spread <= 1e-12:
        return None
    together = math.fsum((seen - left) * (there - right) for seen, there in zip(observed, true, strict=True))
    slope = together / spread
    return Scale(slope, right - slope * left)
