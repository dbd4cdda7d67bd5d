"""Which of two answers is better, asked in both orders, since judges like what stands first or last."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import ClassVar, Literal

from honewise.contracts import Judge, Task
from honewise.errors import JudgeError, UserError
from honewise.judges.asking import ask, sampled, together
from honewise.judges.context import Provider
from honewise.judges.prompt import Slot
from honewise.judges.read import choice
from honewise.judges.results import Preference, clamp
from honewise.judges.tokens import distribution
from honewise.judges.voting import Vote

from .base import JudgeProtocol, joined, needed

__all__ = ["Pairwise", "preference_of"]

Orders = Literal["both", "agree", "one"]

_FIRST, _SECOND = "first", "second"
_PICTURES = ("first_images", "second_images")


class Pairwise(JudgeProtocol[Preference]):
    """The probability that the first of two answers is the better one.

    The template has the slots ``{{first}}`` and ``{{second}}``. Other slots that come in pairs (``first_outcome`` and
    ``second_outcome``) change places with them; so do the lists ``first_images`` and ``second_images``, which are no
    slots: those pictures are shown after ``images``.

    Args:
        file, package, context, guard: see ``JudgeProtocol``.
        orders: ``both``: asked in both orders, p = (P(1 | A, B) + 1 - P(1 | B, A)) / 2, so that a judge who always says
            "1" gives .5; ``agree``: the same, but .5 where the orders prefer different answers; ``one``: as given.
        soft: whether each reply counts by its verdict (1, 0 or, with ties, .5) or by the ``logprobs`` of its verdict
            tokens. Where the model gives none, or less than ``min_mass`` of them, it is unscored.
        rationale: whether a comparison is written before the verdict.
        samples: replies for each order, of which the mean is taken; ``temperature`` counts with more than one.
        ties: whether "tie" is on offer.
        clamp: limits of p where a rationale was asked for, since those labels are over-confident; Constitutional AI
            takes (.4, .6).

    Calls: 2 x ``samples``, or ``samples`` with ``one``; none for equal answers (.5) and for trivial ones (they lose,
    and two of them are equal). Papers: RLAIF (2309.00267), Constitutional AI (2212.08073), Self-Reference (2406.11190).
    """

    answers: ClassVar[tuple[str, ...]] = (_FIRST, _SECOND)

    def __init__(
        self,
        file: str,
        *,
        package: str,
        orders: Orders = "both",
        soft: Literal["verdict", "logprobs"] = "verdict",
        rationale: bool = False,
        samples: int = 1,
        temperature: float = 1.0,
        ties: bool = False,
        clamp: tuple[float, float] | None = None,
        min_mass: float = 0.5,
        label: str = "Better",
        principle: str = "",
        context: Mapping[str, Provider] | None = None,
        guard: bool = True,
    ) -> None:
        values = {"1": 1.0, "2": 0.0, **({"tie": 0.5} if ties else {})}
        form = _form(principle, ties=ties, rationale=rationale, label=label)
        super().__init__(
            file, package=package, parse=choice(values, label=label), form=form, context=context, guard=guard
        )
        self.orders, self.soft, self.samples, self.temperature = orders, soft, samples, temperature
        self.clamp, self.min_mass, self.label = clamp if rationale else None, min_mass, label
        self._values = values

    async def asked(self, judge: Judge, images: Sequence[str], slots: Mapping[str, Slot]) -> Preference:
        sides = [slots] if self.orders == "one" else [slots, swapped(slots)]
        shown = needed(await together(*(self._order(judge, images, side) for side in sides)))
        replies = [list(shown[0][0]), [1 - p for p in shown[1][0]] if len(shown) > 1 else []]
        return preference_of(replies, orders=self.orders, limits=self.clamp, rationale=shown[0][1])

    async def _order(self, judge: Judge, images: Sequence[str], slots: Mapping[str, Slot]) -> tuple[list[float], str]:
        """The probabilities that what stands first is better, and what was said about it."""
        temperature = self.temperature if self.samples > 1 else None
        pictures = [picture for name in _PICTURES for picture in slots.get(name, ())]
        images = (*images, *pictures)
        slots = {name: value for name, value in slots.items() if name not in _PICTURES}

        async def question(sample: int) -> tuple[float, str]:
            found = await ask(
                judge, self.template, slots, images=images, sample=sample, temperature=temperature,
                top_logprobs=20 if self.soft == "logprobs" else None,
            )  # fmt: skip
            if self.soft == "verdict" or found.reply is None:
                return found.verdict.value, found.verdict.rationale
            shares = distribution(found.reply, tuple(self._values), label=self.label)
            if shares is None:
                raise JudgeError(f"{self.template.file}: the model gives no log-probabilities of verdicts")
            if shares.mass < self.min_mass:
                raise JudgeError(f"{self.template.file}: only {shares.mass:.2f} of the probability is on a verdict")
            return shares.mean(self._values), found.verdict.rationale

        found = await sampled(question, self.samples)
        return [p for p, _ in found], found[0][1]

    def settled(self, task: Task | None, images: Sequence[str], slots: Mapping[str, Slot]) -> Preference | None:  # noqa: ARG002
        first, second = slots.get(_FIRST), slots.get(_SECOND)
        if all(slots[one] == slots[other] for one, other in _pairs(slots)):
            return Preference(0.5, "the answers are equal", 0.0)
        if not self.guard or first == second or any(name in slots for name in _PICTURES):
            return None
        why = [self.trivial(task, slots, each) for each in (first, second)]
        if not any(why):
            return None
        value = 0.5 if all(why) else float(not why[0])
        said = "; ".join(f"{name}: trivial: {each}" for name, each in zip((_FIRST, _SECOND), why, strict=True) if each)
        return Preference(value, said, abs(2 * value - 1))

    def combined(self, results: Mapping[str, Preference], vote: Vote) -> Preference:
        """The vote on the probabilities; a ``majority`` counts whom each judge prefers."""
        values = {name: result.value for name, result in results.items()}
        if vote.rule == "majority":
            values = {name: (value > 0.5) + (value == 0.5) / 2 for name, value in values.items()}
        p = vote.decide(values)
        return Preference(
            p, joined(results), abs(2 * p - 1), votes=values, spread=max(values.values()) - min(values.values()),
            replies=tuple(values.values()), agrees=all(result.agrees for result in results.values()),
        )  # fmt: skip


def preference_of(
    replies: Sequence[Sequence[float]],
    *,
    orders: Orders = "both",
    limits: tuple[float, float] | None = None,
    rationale: str = "",
) -> Preference:
    """What replies to one or both orders come to.

    ``replies`` holds, by order, the probabilities that the first *answer* is the better one, wherever it stood.

    >>> preference_of([[0.9], [1 - 0.6]]).value
    0.65
    """
    means = [math.fsum(each) / len(each) for each in replies if each]
    agrees = not (min(means) < 0.5 < max(means))
    p = math.fsum(means) / len(means)
    if orders == "agree" and not agrees:
        p = 0.5
    p = clamp(p, limits)
    every = tuple(value for each in replies for value in each)
    return Preference(p, rationale, abs(2 * p - 1), replies=every, orders=tuple(means), agrees=agrees)


def swapped(slots: Mapping[str, Slot]) -> dict[str, Slot]:
    """The slots with the two answers, and all that belongs to them, in each other's place."""
    partner = dict(_pairs(slots))
    partner |= {other: one for one, other in partner.items()}
    return {name: slots[partner.get(name, name)] for name in slots}


def _pairs(slots: Mapping[str, Slot]) -> list[tuple[str, str]]:
    firsts = [name for name in slots if name == _FIRST or name.startswith(f"{_FIRST}_")]
    pairs = [(name, _SECOND + name.removeprefix(_FIRST)) for name in firsts]
    found = [(one, other) for one, other in pairs if other in slots]
    if (_FIRST, _SECOND) not in found:
        raise UserError("give first= and second=, the two answers to compare")
    return found


def _form(principle: str, *, ties: bool, rationale: bool, label: str) -> str:
    menu = "1 where the first is better, 2 where the second is" + (", tie where neither is" if ties else "")
    by = f"Judge by this principle and nothing else:\n{principle.strip()}\n\n" if principle else ""
    words = "1, 2 or tie" if ties else "1 or 2"
    if rationale:
        last = f"{label}: <{words}: {menu}>"
        return f"{by}Compare the two in a few sentences. End with one line of exactly this form:\n{last}"
    return f"{by}Reply with {words} and nothing else: {menu}."
