"""What protocols return: verdicts with what they were made of."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from honewise.contracts import Score, Span, Verdict

from .agreement import Concordance, kendall_w, mid_ranks

__all__ = ["Labelled", "Polled", "Preference", "Sheet", "Standing", "clamp", "logit", "score_segments"]

_EDGE = 1e-6


@dataclass(frozen=True, slots=True)
class Polled(Verdict):
    """A verdict that several judges gave together."""

    votes: Mapping[str, float] = field(default_factory=dict)
    """By judge, as far as they gave one."""
    spread: float = 0.0
    """The highest vote minus the lowest."""


@dataclass(frozen=True, slots=True)
class Preference(Polled):
    """``value`` is the probability that the first answer is the better one; ``confidence`` is 2 |value - .5|."""

    replies: tuple[float, ...] = ()
    """That of each reply, whichever order it saw; of each judge, where there were several."""
    orders: tuple[float, ...] = ()
    """The means over replies that saw the first answer first, and of those that saw it second; empty without a call."""
    agrees: bool = True
    """The two orders do not prefer different answers."""

    @property
    def winner(self) -> int | None:
        """0 or 1: the place of the better answer; None where neither is."""
        return None if self.value == 0.5 else int(self.value < 0.5)

    @property
    def logit(self) -> float:
        """log(p / (1 - p)): the gap between two rewards at which a reward model has learnt the label p."""
        return logit(self.value)

    def strength(self, kind: Literal["votes", "log_odds"] = "votes", scale: float = 1.0) -> float:
        """How clearly one answer is better, 0 or more: a margin for reward models.

        ``votes``: scale x |2 value - 1|. ``log_odds``: scale x |mean log-odds of the replies|, each cut at a
        probability of 1e-6.
        """
        if kind == "votes":
            return scale * abs(2 * self.value - 1)
        return scale * abs(math.fsum(map(logit, self.replies)) / len(self.replies)) if self.replies else 0.0


@dataclass(frozen=True, slots=True)
class Sheet(Polled):
    """A verdict with parts: the answer to each question of a checklist, the grade by each criterion."""

    parts: Mapping[str, float | None] = field(default_factory=dict)
    """By id; None where the judge found that it does not apply."""

    def score(self) -> Score:
        """As a reward returns it, the parts in the log."""
        return Score(self.value, parts={name: part for name, part in self.parts.items() if part is not None})


@dataclass(frozen=True, slots=True)
class Standing(Polled):
    """Where each answer of a group stands among the others; ``value`` is the mean of the scores."""

    scores: tuple[float | None, ...] = ()
    """0 (the least) to 1, in the caller's order; None: the judge left this one out."""
    rounds: tuple[tuple[float | None, ...], ...] = ()
    """The scores of each time the group was judged, which every time was in another order."""

    @property
    def ranks(self) -> tuple[float | None, ...]:
        """1 is the best; equal scores share the mean of their ranks."""
        there = [score for score in self.scores if score is not None]
        ranks = iter(mid_ranks([-score for score in there]))
        return tuple(None if score is None else next(ranks) for score in self.scores)

    @property
    def best(self) -> int | None:
        """The place of the highest score, the first of equal ones; None where all are equal."""
        return self._extreme(max)

    @property
    def worst(self) -> int | None:
        """The place of the lowest score, the last of equal ones; None where all are equal."""
        return self._extreme(min)

    def _extreme(self, which: Callable[[Sequence[float]], float]) -> int | None:
        there = [score for score in self.scores if score is not None]
        if len(set(there)) < 2:
            return None
        places = [place for place, score in enumerate(self.scores) if score == which(there)]
        return places[0] if which is max else places[-1]

    @property
    def concordance(self) -> Concordance:
        """Kendall's W over the rounds. Raises ``ValueError`` with fewer than two, or with answers left out."""
        rounds = [[-score for score in each if score is not None] for each in self.rounds]
        if any(len(each) != len(self.scores) for each in rounds):
            raise ValueError("an answer was left out of a round; W needs complete rankings")
        return kendall_w([mid_ranks(each) for each in rounds])


@dataclass(frozen=True, slots=True)
class Labelled(Polled):
    """A label for each segment of an answer; ``value`` is the sum of the spans."""

    labels: tuple[str, ...] = ()
    spans: tuple[Span, ...] = ()
    kind: str = ""

    def score(self) -> Score:
        """As a reward returns it."""
        return score_segments(self)


def score_segments(*labelled: Labelled) -> Score:
    """The spans of several kinds of labels as one score; credit that stands nowhere goes to the end."""
    spans = tuple(span for each in labelled for span in each.spans)
    terminal = math.fsum(each.value for each in labelled if not each.spans)
    parts = {each.kind: each.value for each in labelled if each.kind}
    return Score(terminal, spans, parts=parts)


def clamp(probability: float, limits: tuple[float, float] | None) -> float:
    """Cut to ``limits``; Constitutional AI cuts labels that follow a rationale to .4 and .6.

    >>> clamp(0.97, (0.4, 0.6)), clamp(0.97, None)
    (0.6, 0.97)
    """
    return probability if limits is None else min(max(probability, limits[0]), limits[1])


def logit(probability: float) -> float:
    """log(p / (1 - p)), the probability cut to 1e-6 from either end.

    >>> round(logit(0.65), 4)
    0.619
    """
    cut = min(max(probability, _EDGE), 1 - _EDGE)
    return math.log(cut / (1 - cut))


def mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values)
