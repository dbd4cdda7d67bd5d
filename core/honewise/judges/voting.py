"""From several votes to one decision, by a rule that is said: averaging, too, is a voting rule, and one that depends on
each voter's scale.

No rule has every property that one would wish for (Arrow), so the rule is declared, and what it decided is reported
together with how far the voters disagreed and whether majorities ran in a circle.
"""

from __future__ import annotations

import hashlib
import math
import statistics
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from .agreement import mid_ranks

__all__ = ["Disagreement", "Tally", "Vote", "decide", "disagreement", "tally"]

Rule = Literal["mean", "median", "majority", "approval", "veto"]
RankingRule = Literal["mean", "majority", "borda", "copeland", "approval", "veto"]
Normalise = Literal["none", "range", "rank"]
Ties = Literal["low", "mean", "high"]
TieBreak = Literal["none", "mean", "seed"]


@dataclass(frozen=True, slots=True)
class Vote:
    """How several judges decide together; the section ``judge.vote`` of a recipe."""

    rule: Rule = "mean"
    """For verdicts about one answer."""
    ranking: RankingRule = "mean"
    """For answers that are compared with one another."""
    weights: Mapping[str, float] = field(default_factory=dict)
    """By judge, for ``mean``; 1 where nothing is said."""
    threshold: float = 0.5
    """From which value on a verdict approves, and below which it vetoes."""
    ranges: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    """By judge: the range of verdicts that it really uses, mapped to 0 to 1 before the vote, and cut there."""
    normalise: Normalise = "none"
    """Of each judge's scores over the answers that are compared, before the vote."""
    ties: Ties = "low"
    """Which of several equally frequent verdicts a ``majority`` means."""
    tie_break: TieBreak = "none"
    """What orders answers that the ranking rule leaves equal."""
    quorum: int | None = None
    """Judges that must have answered; None: all. With fewer there is no verdict, since judges differ in strictness,
    and an answer that lost a strict one would look better than it is."""
    seed: int = 0

    def adjusted(self, name: str, value: float) -> float:
        """A judge's verdict on the scale that all share."""
        if name not in self.ranges:
            return value
        low, high = self.ranges[name]
        return min(max((value - low) / (high - low), 0.0), 1.0)

    def decide(self, votes: Mapping[str, float]) -> float:
        """One number from each judge's; see ``decide``."""
        values = {name: self.adjusted(name, value) for name, value in votes.items()}
        return decide(values, self.rule, weights=self.weights, threshold=self.threshold, ties=self.ties)

    def tally(self, ballots: Mapping[str, Sequence[float | None]], keys: Sequence[str] = ()) -> Tally:
        """A score for each answer from each judge's scores; see ``tally``."""
        adjusted = {
            name: [None if value is None else self.adjusted(name, value) for value in ballot]
            for name, ballot in ballots.items()
        }
        return tally(
            adjusted, self.ranking, weights=self.weights, threshold=self.threshold, normalise=self.normalise,
            tie_break=self.tie_break, seed=self.seed, keys=keys,
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Disagreement:
    """How far voters differ about the order of the candidates."""

    mean: float
    """Over pairs of voters: the share of pairs of candidates that they order differently (a tie of one of them counts
    half); 0 with one voter."""
    voters: Mapping[str, float]
    """The mean of each voter's with the others."""
    condorcet: int | None
    """The candidate that beats every other one in a majority of ballots, where there is one."""
    cycle: tuple[int, ...]
    """Candidates of which each beats the next, and the last the first; empty where majorities run in no circle."""


@dataclass(frozen=True, slots=True)
class Tally:
    """What a vote over several candidates came to."""

    scores: tuple[float | None, ...]
    """By the rule, higher is better; None for a candidate that some voter left out."""
    shares: tuple[float | None, ...]
    """The scores on the scale 0 to 1, as rewards use them."""
    order: tuple[tuple[int, ...], ...]
    """Best first; those that stay equal together."""
    report: Disagreement

    @property
    def winner(self) -> int | None:
        """The best candidate; None where several are."""
        return self.order[0][0] if self.order and len(self.order[0]) == 1 else None


def decide(
    votes: Mapping[str, float],
    rule: Rule = "mean",
    *,
    weights: Mapping[str, float] | None = None,
    threshold: float = 0.5,
    ties: Ties = "low",
) -> float:
    """One number from several.

    ``mean`` (weighted), ``median``; ``majority``: the most frequent value, of several the one that ``ties`` says;
    ``approval``: the share of votes that are at least ``threshold``; ``veto``: the mean, unless a vote is below
    ``threshold``: then the lowest.

    >>> decide({"a": 1.0, "b": 1.0, "c": 0.0}, "majority"), decide({"a": 0.9, "b": 0.3}, "veto")
    (1.0, 0.3)
    """
    if not votes:
        raise ValueError("nobody voted")
    values = list(votes.values())
    if rule == "median":
        return float(statistics.median(values))
    if rule == "majority":
        counts = Counter(values)
        most = max(counts.values())
        return settle([value for value, count in counts.items() if count == most], ties)
    if rule == "approval":
        return sum(value >= threshold for value in values) / len(values)
    if rule == "veto" and min(values) < threshold:
        return min(values)
    return _weighted(votes, weights or {} if rule == "mean" else {})


def settle(values: Sequence[float], ties: Ties) -> float:
    """One of equally good values: the lowest, the highest, or their mean."""
    if ties == "low":
        return min(values)
    return max(values) if ties == "high" else math.fsum(values) / len(values)


def tally(
    ballots: Mapping[str, Sequence[float | None]],
    rule: RankingRule = "mean",
    *,
    weights: Mapping[str, float] | None = None,
    threshold: float = 0.5,
    normalise: Normalise = "none",
    tie_break: TieBreak = "none",
    seed: int = 0,
    keys: Sequence[str] = (),
) -> Tally:
    """An order of candidates from each voter's scores of them.

    Args:
        ballots: by voter, a score for each candidate, higher is better; a ranking goes in as its ranks, negated. A
            candidate that any voter leaves out (None) is not voted on.
        rule: ``mean`` of scores (weighted); ``borda``: for each voter one point for each candidate below, half for each
            equal one; ``copeland``: one point for each candidate that a majority puts below, half for a draw;
            ``majority``: the voters who put it first, shared among several firsts; ``approval``: the share of voters
            whose score is at least ``threshold``; ``veto``: the mean, or where a score is below ``threshold`` the
            lowest.
        normalise: each voter's scores first: ``range`` maps its own lowest and highest to 0 and 1, ``rank`` each score
            to the share of candidates below. Thresholds then mean the normalised score.
        tie_break: among equal ones ``mean`` lets the mean score decide, ``seed`` a draw that follows from ``seed`` and
            the candidate's key, whatever its place; ``none`` leaves them equal.
        keys: the candidates' own names for ``seed``; left out, their places.

    >>> tally({"a": [2, 1, 0], "b": [2, 1, 0], "c": [0, 2, 1]}, "borda").scores
    (4.0, 4.0, 1.0)
    """
    if not ballots or len({len(ballot) for ballot in ballots.values()}) != 1:
        raise ValueError("every voter gives a score, or None, for each of the same candidates")
    count = len(next(iter(ballots.values())))
    there = [place for place in range(count) if all(ballot[place] is not None for ballot in ballots.values())]
    scores = {name: [_number(ballot[place]) for place in there] for name, ballot in ballots.items()}
    scores = {name: _normalised(values, normalise) for name, values in scores.items()}
    points, shares = _points(scores, rule, weights or {}, threshold)
    means = [_weighted({name: values[i] for name, values in scores.items()}, {}) for i in range(len(there))]
    breaks = {
        "none": [0.0] * len(there),
        "mean": means,
        "seed": [_draw(seed, keys[place] if keys else str(place)) for place in there],
    }[tie_break]
    tiers: dict[tuple[float, float], list[int]] = {}
    for i, place in enumerate(there):
        tiers.setdefault((-round(points[i], 12), -round(breaks[i], 12)), []).append(place)
    order = tuple(tuple(tiers[key]) for key in sorted(tiers))
    report = disagreement(scores)
    back = dict(enumerate(there))
    named = Disagreement(
        report.mean,
        report.voters,
        None if report.condorcet is None else back[report.condorcet],
        tuple(back[i] for i in report.cycle),
    )
    return Tally(_spread(points, there, count), _spread(shares, there, count), order, named)


def disagreement(ballots: Mapping[str, Sequence[float]]) -> Disagreement:
    """How far voters differ about the order of the same candidates."""
    names, count = list(ballots), len(next(iter(ballots.values()), ()))
    apart = {(a, b): _distance(ballots[a], ballots[b]) for a in names for b in names if a < b}
    voters = {
        name: _mean([distance for pair, distance in apart.items() if name in pair]) if len(names) > 1 else 0.0
        for name in names
    }
    beats = [{b for b in range(count) if _margin(ballots, a, b) > 0} for a in range(count)]
    winner = next((a for a in range(count) if len(beats[a]) == count - 1 and count > 1), None)
    return Disagreement(_mean(list(apart.values())), voters, winner, _cycle(beats))


def _points(
    scores: Mapping[str, Sequence[float]], rule: RankingRule, weights: Mapping[str, float], threshold: float
) -> tuple[list[float], list[float]]:
    """By candidate: points by the rule, and the same on the scale 0 to 1."""
    voters, count = len(scores), len(next(iter(scores.values())))
    others = max(count - 1, 1)
    columns = [{name: values[i] for name, values in scores.items()} for i in range(count)]
    if rule == "borda":
        ranks = [mid_ranks(values) for values in scores.values()]
        points = [math.fsum(each[i] - 1 for each in ranks) for i in range(count)]
        return points, [each / (voters * others) for each in points]
    if rule == "copeland":
        margins = [[_margin(scores, a, b) for b in range(count) if b != a] for a in range(count)]
        points = [math.fsum(1.0 if each > 0 else 0.5 if each == 0 else 0.0 for each in row) for row in margins]
        return points, [each / others for each in points]
    if rule == "majority":
        best = [[i for i in range(count) if values[i] == max(values)] for values in scores.values()]
        points = [math.fsum(1 / len(first) for first in best if i in first) for i in range(count)]
        return points, [each / voters for each in points]
    if rule == "mean":
        points = [_weighted(column, weights) for column in columns]
    else:
        points = [decide(column, rule, threshold=threshold) for column in columns]
    return points, points


def _normalised(values: Sequence[float], how: Normalise) -> list[float]:
    if how == "none" or not values:
        return list(values)
    if how == "rank":
        others = max(len(values) - 1, 1)
        return [(rank - 1) / others for rank in mid_ranks(values)] if len(values) > 1 else [0.5]
    low, high = min(values), max(values)
    return [(value - low) / (high - low) if low < high else 0.5 for value in values]


def _distance(one: Sequence[float], other: Sequence[float]) -> float:
    """The share of pairs that two voters order differently."""
    pairs = [(a, b) for a in range(len(one)) for b in range(a)]
    apart = [abs(_sign(one[a] - one[b]) - _sign(other[a] - other[b])) / 2 for a, b in pairs]
    return _mean(apart)


def _margin(ballots: Mapping[str, Sequence[float]], a: int, b: int) -> int:
    """Voters for ``a`` against ``b`` minus those for ``b``."""
    return sum(_sign(values[a] - values[b]) for values in ballots.values())


def _cycle(beats: Sequence[set[int]]) -> tuple[int, ...]:
    """A shortest circle of majorities, its smallest candidate first."""
    best: tuple[int, ...] = ()
    for start in range(len(beats)):
        came: dict[int, int] = {}
        wave = [start]
        while wave and start not in came:
            following: list[int] = []
            for here in wave:
                for there in sorted(beats[here]):
                    if there not in came:
                        came[there] = here
                        following.append(there)
            wave = following
        if start in came:
            path = [start]
            while came[path[-1]] != start:
                path.append(came[path[-1]])
            circle = (start, *reversed(path[1:]))
            if not best or len(circle) < len(best):
                best = circle
    return best


def _weighted(votes: Mapping[str, float], weights: Mapping[str, float]) -> float:
    shares = {name: weights.get(name, 1.0) for name in votes}
    whole = math.fsum(shares.values())
    if whole <= 0:
        raise ValueError("the weights of those who voted add up to nothing")
    return math.fsum(shares[name] * value for name, value in votes.items()) / whole


def _spread(values: Sequence[float], places: Sequence[int], count: int) -> tuple[float | None, ...]:
    found = dict(zip(places, values, strict=True))
    return tuple(found.get(place) for place in range(count))


def _draw(seed: int, key: str) -> float:
    digest = hashlib.sha256(f"{seed}\0{key}".encode("utf-8", "surrogatepass")).digest()
    return int.from_bytes(digest[:6], "big") / 2**48


def _number(value: float | None) -> float:
    assert value is not None
    return float(value)


def _sign(value: float) -> int:
    return (value > 0) - (value < 0)


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values) if values else 0.0
