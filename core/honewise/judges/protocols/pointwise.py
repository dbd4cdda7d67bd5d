"""Verdicts about one answer: a score on a scale, the expected score over verdict tokens, a verdict with a value."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Literal

from honewise.contracts import Judge, Verdict
from honewise.errors import JudgeError
from honewise.judges.asking import Asked, ask, sampled
from honewise.judges.context import Provider
from honewise.judges.prompt import Slot
from honewise.judges.read import choice, scale
from honewise.judges.results import Polled
from honewise.judges.tokens import distribution
from honewise.judges.voting import Ties, Vote, settle

from .base import JudgeProtocol, polled

__all__ = ["ExpectedScore", "Pointwise", "VerdictMap"]

_REASONS = "Give your reasons first, in a few sentences. "


class _Single(JudgeProtocol[Verdict]):
    """Verdicts about one answer."""

    low: float
    """The least value."""

    def least(self, why: str) -> Verdict:
        return Verdict(self.low, f"trivial: {why}")

    def combined(self, results: Mapping[str, Verdict], vote: Vote) -> Polled:
        return polled(results, vote)


class Pointwise(_Single):
    """A score on a stated scale.

    Args:
        file, package, context, guard: see ``JudgeProtocol``. The file says what the ends of the scale mean.
        low, high: the ends of the scale.
        to: what they are mapped to.
        rationale: whether reasons are given before the score.
        samples: how often it is asked; the value is the mean. ``temperature`` counts with more than one.
        label: begins the line of the verdict.

    Calls: ``samples``. Value: to[0] + (to[1] - to[0]) (score - low) / (high - low). Unscored: a score off the scale, or
    none.
    """

    def __init__(
        self,
        file: str,
        *,
        package: str,
        low: float = 0,
        high: float = 10,
        to: tuple[float, float] = (0.0, 1.0),
        rationale: bool = True,
        samples: int = 1,
        temperature: float = 1.0,
        label: str = "Score",
        context: Mapping[str, Provider] | None = None,
        guard: bool = True,
    ) -> None:
        form = _form(f"a number from {low:g} to {high:g}", label, rationale)
        reader = scale(low, high, label=label, to=to)
        super().__init__(file, package=package, parse=reader, form=form, context=context, guard=guard)
        self.low, self.samples, self.temperature = min(to), samples, temperature

    async def asked(self, judge: Judge, images: Sequence[str], slots: Mapping[str, Slot]) -> Verdict:
        temperature = self.temperature if self.samples > 1 else None

        async def question(sample: int) -> Asked:
            return await ask(judge, self.template, slots, images=images, sample=sample, temperature=temperature)

        verdicts = [each.verdict for each in await sampled(question, self.samples)]
        return Verdict(statistics.fmean(each.value for each in verdicts), verdicts[0].rationale)


class ExpectedScore(_Single):
    """The expected score over verdict tokens: direct RLAIF (2309.00267).

    Args:
        low, high: the ends of a scale of whole numbers.
        to: what they are mapped to; (-1, 1) with 1 to 10 is the paper's (E - 5.5) / 4.5.
        rationale: whether reasons are written before the score; the token after ``LABEL:`` then counts.
        top: likeliest tokens to ask for; endpoints allow up to 20.
        min_mass: the least probability that the verdicts must have together. What is missing stood on other tokens, or
            on none that was told; the rest is taken as if it were all, so little may be missing.
        without: what to do where the model gives no log-probabilities: ``refuse`` (unscored), ``verdict`` (its verdict
            alone), ``samples`` (the mean of ``samples`` verdicts at ``temperature``).

    Calls: 1, or ``samples``. Value: the sum over scores i of i P(i) / sum P, mapped to ``to``; ``confidence`` is the
    mass. Scores of two digits may be several tokens: see ``honewise.judges.distribution``; 1 to 9 has no such case.
    Unscored: too little mass, or no log-probabilities under ``refuse``.
    """

    def __init__(
        self,
        file: str,
        *,
        package: str,
        low: int = 1,
        high: int = 10,
        to: tuple[float, float] = (0.0, 1.0),
        rationale: bool = False,
        top: int = 20,
        min_mass: float = 0.5,
        without: Literal["refuse", "verdict", "samples"] = "refuse",
        samples: int = 8,
        temperature: float = 1.0,
        label: str = "Score",
        context: Mapping[str, Provider] | None = None,
        guard: bool = True,
    ) -> None:
        form = _form(f"a whole number from {low} to {high}", label, rationale)
        values = {str(score): to[0] + (to[1] - to[0]) * (score - low) / (high - low) for score in range(low, high + 1)}
        super().__init__(
            file, package=package, parse=choice(values, label=label), form=form, context=context, guard=guard
        )
        self.low, self.values, self.label = min(to), values, label
        self.top, self.min_mass = top, min_mass
        self.without, self.samples, self.temperature = without, samples, temperature

    async def asked(self, judge: Judge, images: Sequence[str], slots: Mapping[str, Slot]) -> Verdict:
        found = await ask(judge, self.template, slots, images=images, top_logprobs=self.top)
        if found.reply is None:
            return found.verdict  # a stand-in, whose number is the expectation
        shares = distribution(found.reply, tuple(self.values), label=self.label)
        if shares is None:
            return await self._without(judge, images, slots, found.verdict)
        if shares.mass < self.min_mass:
            raise JudgeError(
                f"{self.template.file}: only {shares.mass:.2f} of the probability is on a verdict, {self.min_mass:g} is"
                " needed"
            )
        return Verdict(shares.mean(self.values), found.verdict.rationale, shares.mass)

    async def _without(
        self, judge: Judge, images: Sequence[str], slots: Mapping[str, Slot], verdict: Verdict
    ) -> Verdict:
        if self.without == "verdict":
            return verdict
        if self.without == "refuse":
            raise JudgeError(
                f"{self.template.file}: the model gives no log-probabilities of verdicts; say without='samples' to take"
                " the mean of several"
            )

        async def question(sample: int) -> Asked:
            return await ask(judge, self.template, slots, images=images, sample=sample, temperature=self.temperature)

        verdicts = [each.verdict for each in await sampled(question, self.samples)]
        return Verdict(statistics.fmean(each.value for each in verdicts), verdicts[0].rationale)


class VerdictMap(_Single):
    """A verdict in words that are mapped to numbers, from several samples (PPDPP, 2311.00262).

    Args:
        values: the words on offer and their numbers, of any range.
        samples, temperature: how often it is asked, and how.
        reduce: the ``mean`` of the numbers, or their ``mode``.
        ties: of several equally frequent numbers the mode is the ``low``est, the ``high``est, or their ``mean``.
        quorum: the share of samples that must have a verdict.
        rationale: whether reasons are given before the verdict.

    Calls: ``samples``. ``confidence`` is the share of readable samples that gave the most frequent number. Samples
    without a verdict are left out; with fewer than ``quorum`` it is unscored, and never 0.
    """

    def __init__(
        self,
        file: str,
        *,
        package: str,
        values: Mapping[str, float],
        samples: int = 1,
        temperature: float = 1.0,
        reduce: Literal["mean", "mode"] = "mean",
        ties: Ties = "low",
        quorum: float = 0.5,
        rationale: bool = False,
        label: str = "Verdict",
        context: Mapping[str, Provider] | None = None,
        guard: bool = True,
    ) -> None:
        form = _form(_either(tuple(values)), label, rationale)
        super().__init__(
            file, package=package, parse=choice(values, label=label), form=form, context=context, guard=guard
        )
        self.low, self.samples, self.temperature = min(values.values()), samples, temperature
        self.reduce, self.ties, self.quorum = reduce, ties, quorum

    async def asked(self, judge: Judge, images: Sequence[str], slots: Mapping[str, Slot]) -> Verdict:
        temperature = self.temperature if self.samples > 1 else None

        async def question(sample: int) -> Asked:
            return await ask(judge, self.template, slots, images=images, sample=sample, temperature=temperature)

        verdicts = [each.verdict for each in await sampled(question, self.samples, self.quorum)]
        counts = Counter(each.value for each in verdicts)
        most = max(counts.values())
        modes = [value for value, count in counts.items() if count == most]
        value = settle(modes, self.ties) if self.reduce == "mode" else statistics.fmean(counts.elements())
        shown = min(verdicts, key=lambda each: abs(each.value - value))
        return Verdict(value, shown.rationale, most / len(verdicts))


def _form(what: str, label: str, rationale: bool) -> str:
    if rationale:
        return f"{_REASONS}End with one line of exactly this form:\n{label}: <{what}>"
    return f"Reply with {what} and nothing else."


def _either(words: Sequence[str]) -> str:
    return f"{', '.join(words[:-1])} or {words[-1]}"
