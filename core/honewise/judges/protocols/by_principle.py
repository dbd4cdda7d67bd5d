"""Pairs compared by principles: the preference half of Constitutional AI, and SALMON's with negated principles."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal

from honewise.contracts import Judge, JudgeTemplate, Task
from honewise.judges.asking import together
from honewise.judges.principles import Constitution, Principle, uniform
from honewise.judges.prompt import Slot
from honewise.judges.results import Preference, logit
from honewise.judges.voting import Vote

from .base import JudgeProtocol, needed
from .pairwise import Pairwise

__all__ = ["ByPrinciple", "PrincipleScore", "PrincipledPreference", "principle_score", "strongest"]


@dataclass(frozen=True, slots=True)
class PrincipleScore:
    """What one principle says of a pair."""

    principle: str
    """Its id."""
    score: float
    """Above 0: the first answer is better by it, as it was applied; 0: the two orders do not agree."""
    negated: bool = False
    probability: float = 0.5
    """That the first answer is better by the principle itself, never negated."""


@dataclass(frozen=True, slots=True)
class PrincipledPreference(Preference):
    """A preference and the principles behind it."""

    principles: tuple[PrincipleScore, ...] = ()
    decided_by: str = ""
    """The principle that decided alone, under ``strongest``."""
    noisy: bool = False
    """The label was turned round at random."""


class ByPrinciple(JudgeProtocol[PrincipledPreference]):
    """Which of two answers is better by principles that are drawn from a constitution.

    The template has the slots of ``Pairwise``, which it asks with once for each principle; the principle's ``prefer``
    stands below.

    Args:
        file, package: see ``JudgeProtocol``.
        constitution: its principles with ``prefer`` are drawn from.
        count: how many for a pair; ``all``; or ``geometric``: a number n with probability .2 x .8^(n-1), at most 8.
        decide: ``mean`` of their probabilities (Constitutional AI; 16 of them steady the label); ``strongest``
            (SALMON): the sign of the score with the largest size, as a label of 1, 0 or (all scores 0) .5.
        negation: under ``strongest``, the probability that a principle is taken in its negated form, which negates its
            score. A reward model that reads principles learns to obey them, and not to like what they have in common.
        noise: under ``strongest``, the probability that the label is turned round.
        seed: of all draws, with the texts of the pair.
        pairwise: further arguments of ``Pairwise``: ``orders``, ``soft``, ``rationale``, ``clamp``, ...

    A score is the mean of the log-odds of both orders where they have one sign, else 0. Calls: those of ``Pairwise``
    for each principle.
    """

    answers: ClassVar[tuple[str, ...]] = ("first", "second")

    def __init__(
        self,
        file: str,
        *,
        package: str,
        constitution: Constitution,
        count: int | Literal["all", "geometric"] = 1,
        decide: Literal["mean", "strongest"] = "mean",
        negation: float = 0.0,
        noise: float = 0.0,
        seed: int = 0,
        **pairwise: Any,
    ) -> None:
        self.constitution = constitution.fitting(use="prefer")
        self.count, self.decide, self.negation, self.noise, self.seed = count, decide, negation, noise, seed
        self._pairs = {
            each.id: Pairwise(file, package=package, principle=each.prefer, **pairwise)
            for each in self.constitution.principles
        }
        first = next(iter(self._pairs.values()))
        self.template, self.context, self.guard = first.template, first.context, first.guard
        self._settling = first

    @property
    def templates(self) -> tuple[JudgeTemplate, ...]:
        return tuple(pair.template for pair in self._pairs.values())

    async def asked(self, judge: Judge, images: Sequence[str], slots: Mapping[str, Slot]) -> PrincipledPreference:
        key = _key(slots)
        chosen = self.chosen(key)
        asked = (self._pairs[each.id].asked(judge, images, slots) for each in chosen)
        found: list[Preference] = needed(await together(*asked))
        scores = [self._scored(principle, preference, key) for principle, preference in zip(chosen, found, strict=True)]
        replies = tuple(p for preference in found for p in preference.replies)
        agrees = all(preference.agrees for preference in found)
        if self.decide == "mean":
            p = math.fsum(each.probability for each in scores) / len(scores)
            return PrincipledPreference(
                p, found[0].rationale, abs(2 * p - 1), replies=replies, agrees=agrees, principles=tuple(scores)
            )
        noisy = self.noise > 0 and uniform(self.seed, key, "noise") < self.noise
        label, deciding = strongest(scores, noisy=noisy)
        return PrincipledPreference(
            label, found[0].rationale, abs(2 * label - 1), replies=replies, agrees=agrees, principles=tuple(scores),
            decided_by=deciding, noisy=noisy,
        )  # fmt: skip

    def chosen(self, key: str) -> tuple[Principle, ...]:
        """The principles for a pair."""
        every = self.constitution.principles
        if self.count == "all":
            return every
        if self.count == "geometric":
            count = min(8, 1 + int(math.log(1 - uniform(self.seed, key, "count")) / math.log(0.8)))
        else:
            count = self.count
        return self.constitution.draw(min(count, len(every)), seed=self.seed, key=key)

    def told(self, preference: PrincipledPreference) -> tuple[str, ...]:
        """The words of the principles as they were applied, negated or not: what a reward model that obeys principles
        reads beside the prompt."""
        return tuple(
            self.constitution.get(each.principle).words(negated=each.negated) for each in preference.principles
        )

    def least(self, why: str) -> PrincipledPreference:  # pragma: no cover - pairs are settled as pairs
        raise NotImplementedError(why)

    def settled(
        self, task: Task | None, images: Sequence[str], slots: Mapping[str, Slot]
    ) -> PrincipledPreference | None:
        known = self._settling.settled(task, images, slots)
        return None if known is None else PrincipledPreference(known.value, known.rationale, known.confidence)

    def combined(self, results: Mapping[str, PrincipledPreference], vote: Vote) -> PrincipledPreference:
        """The vote on the probabilities; the principles are those of the first judge, which are everybody's."""
        whole = self._settling.combined(results, vote)
        first = next(iter(results.values()))
        return replace(
            first, value=whole.value, rationale=whole.rationale, confidence=whole.confidence, votes=whole.votes,
            spread=whole.spread, replies=whole.replies, agrees=whole.agrees,
        )  # fmt: skip

    def _scored(self, principle: Principle, preference: Preference, key: str) -> PrincipleScore:
        negated = self.negation > 0 and uniform(self.seed, key, principle.id, "negation") < self.negation
        score = principle_score(preference.orders)
        return PrincipleScore(principle.id, -score if negated else score, negated, preference.value)


def principle_score(orders: Sequence[float]) -> float:
    """The mean log-odds over the orders, each the probability that the first answer is better; 0 where they have not
    one sign.

    >>> principle_score([0.9, 0.1])
    0.0
    """
    odds = [logit(p) for p in orders]
    if not odds or not (all(each > 0 for each in odds) or all(each < 0 for each in odds)):
        return 0.0
    return math.fsum(odds) / len(odds)


def strongest(scores: Sequence[PrincipleScore], *, noisy: bool = False) -> tuple[float, str]:
    """The label by the score of the largest size (the earlier of equal ones), and the principle behind it."""
    best = max(scores, key=lambda each: abs(each.score))
    if best.score == 0:
        return 0.5, ""
    return float((best.score > 0) != noisy), best.principle


def _key(slots: Mapping[str, Slot]) -> str:
    """The same for a pair whichever answer stands first, so that the draws do not depend on that."""
    texts = sorted(str(slots[name]) for name in ("first", "second"))
    others = [f"{name}={slots[name]}" for name in sorted(slots) if not name.startswith(("first", "second"))]
    return hashlib.sha256("\0".join([*texts, *others]).encode("utf-8", "surrogatepass")).hexdigest()
