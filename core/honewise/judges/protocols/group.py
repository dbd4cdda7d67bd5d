"""Answers to one task judged against one another, all in one call: a ranking, or scores side by side.

What a judge sees does not depend on the order in which the answers are given: equal answers are shown once, and the
order is shuffled by the seed and the texts themselves. So the same group is the same question, whoever asks, and no
place in a batch is better than another.
"""

from __future__ import annotations

import hashlib
import math
import random
from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from honewise.contracts import Completion, Judge, Task, Unscored, Verdict
from honewise.errors import JudgeError, UserError
from honewise.judges.asking import ask, sampled, together
from honewise.judges.context import Provider
from honewise.judges.lists import block, ranking
from honewise.judges.prompt import Slot
from honewise.judges.read import number_reader
from honewise.judges.results import Standing
from honewise.judges.voting import Vote

from .base import JudgeProtocol, joined

__all__ = ["Ranking", "Relative", "group_rewards"]

Scores = tuple[float | None, ...]

_SLOT = "answers"


@dataclass(frozen=True, slots=True)
class _Round(Verdict):
    """One reply: scores in the order shown."""

    scores: Scores = ()


class _Group(JudgeProtocol[Standing]):
    """Answers judged against one another; the template has a slot ``{{answers}}``."""

    repeats: int
    temperature: float | None
    seed: int

    async def __call__(
        self, judge: Judge, /, *, task: Task | None = None, images: Sequence[str] = (), **slots: Slot
    ) -> Standing:
        answers = slots.pop(_SLOT, None)
        if answers is None or isinstance(answers, str) or not answers:
            raise UserError(f"give {_SLOT}=, the list of answers to compare")
        why = {text: self.trivial(task, slots, text) if self.guard else "" for text in answers}
        members = sorted(text for text, trivial in why.items() if not trivial)
        if len(members) < 2:  # nobody to compare with
            alone = Standing(0.5, scores=(0.5,) * len(members))
            found = alone
        else:
            found = await self.put(judge, task, images, {**slots, _SLOT: members})
        return _spread(found, members, answers)

    async def asked(self, judge: Judge, images: Sequence[str], slots: Mapping[str, Slot]) -> Standing:
        members = tuple(slots[_SLOT])
        template = replace(self.template, parse=self.reader(len(members)))

        async def question(turn: int) -> tuple[Scores, str]:
            order = _order(members, self.seed, turn)
            shown = {**slots, _SLOT: [members[place] for place in order]}
            verdict = (await ask(judge, template, shown, images=images, temperature=self.temperature)).verdict
            scores = verdict.scores if isinstance(verdict, _Round) else (verdict.value,) * len(members)
            back = dict(zip(order, scores, strict=True))
            return tuple(back[place] for place in range(len(members))), verdict.rationale

        found = await sampled(question, self.repeats)
        rounds = tuple(scores for scores, _ in found)
        return _standing(tuple(_mean_or_none(column) for column in zip(*rounds, strict=True)), found[0][1], rounds)

    def combined(self, results: Mapping[str, Standing], vote: Vote) -> Standing:
        """The vote on the scores by the rule for rankings."""
        tally = vote.tally({name: result.scores for name, result in results.items()})
        rounds = tuple(each for result in results.values() for each in result.rounds)
        votes = {name: result.value for name, result in results.items()}
        return replace(_standing(tally.shares, joined(results), rounds), votes=votes, spread=tally.report.mean)

    def parse(self, reply: str, count: int = 2) -> Verdict:
        """What a reply about ``count`` answers says."""
        return self.reader(count)(reply)

    @abstractmethod
    def reader(self, count: int) -> Callable[[str], Verdict]: ...


class Ranking(_Group):
    """All answers of a group ranked in one call, best first, ties allowed.

    ``await protocol(judge, answers=[...], question=...)``.

    Args:
        file, package, context, guard: see ``JudgeProtocol``.
        repeats: how often, each time in another order; for Kendall's W (``standing.concordance``). At temperature 0
            without another order W would be 1 for nothing.
        temperature: left out, the judge's own.
        seed: of the orders.
        rationale: whether reasons are given first.

    Calls: ``repeats``. Scores: (n - rank) / (n - 1), the mean over the repeats, which is Borda's rule; trivial answers
    are not shown and get 0; with fewer than two that differ nothing is asked and they get .5. Unscored: a ranking that
    does not name each answer once. Paper: Repeat Ranking (2405.18952).
    """

    def __init__(
        self,
        file: str,
        *,
        package: str,
        repeats: int = 1,
        temperature: float | None = None,
        seed: int = 0,
        rationale: bool = False,
        label: str = "Ranking",
        context: Mapping[str, Provider] | None = None,
        guard: bool = True,
    ) -> None:
        self.repeats, self.temperature, self.seed, self.label = repeats, temperature, seed, label
        form = (
            "Rank the numbered answers from the best to the worst; = stands between equal ones. "
            f"{_reasons(rationale)} with one line of this form, in which every number stands once:\n"
            f"{label}: 2 > 1 = 3"
        )
        super().__init__(file, package=package, parse=self.parse, form=form, context=context, guard=guard)

    def reader(self, count: int) -> Callable[[str], Verdict]:
        def read(reply: str) -> Verdict:
            ranks, before = ranking(reply, self.label, count)
            return _Round(0.5, before, scores=tuple((count - rank) / max(count - 1, 1) for rank in ranks))

        return read


class Relative(_Group):
    """A score for each answer of a group, given side by side in one call.

    ``await protocol(judge, answers=[...], question=...)``.

    Args:
        file, package, context, guard: see ``JudgeProtocol``.
        low, high: the ends of the scale, which are mapped to 0 and 1.
        repeats, temperature, seed, rationale: see ``Ranking``.

    Calls: ``repeats``. An answer that the judge leaves out, or scores off the scale, has no score (None), and the
    others keep theirs. Trivial answers are not shown and get 0; with fewer than two that differ nothing is asked and
    they get .5. Unscored: fewer than two scores.
    """

    def __init__(
        self,
        file: str,
        *,
        package: str,
        low: float = 0,
        high: float = 10,
        repeats: int = 1,
        temperature: float | None = None,
        seed: int = 0,
        rationale: bool = False,
        heading: str = "Scores",
        context: Mapping[str, Provider] | None = None,
        guard: bool = True,
    ) -> None:
        self.repeats, self.temperature, self.seed, self.heading = repeats, temperature, seed, heading
        self._low, self._high, self._number = low, high, number_reader(low, high)
        form = (
            f"Score every numbered answer from {low:g} to {high:g}, compared with the others. "
            f"{_reasons(rationale)} with a line '{heading}:' and below it one line for each answer, of this form:\n"
            f"{heading}:\n1: <number>\n2: <number>"
        )
        super().__init__(file, package=package, parse=self.parse, form=form, context=context, guard=guard)

    def reader(self, count: int) -> Callable[[str], Verdict]:
        names = [str(number) for number in range(1, count + 1)]

        def read(reply: str) -> Verdict:
            found, before = block(reply, self.heading, names, self._number)
            if len(found) < 2:
                raise ValueError(f"{len(found)} of {count} answers have a score; all are needed")
            scores = tuple(
                (found[name] - self._low) / (self._high - self._low) if name in found else None for name in names
            )
            there = [score for score in scores if score is not None]
            return _Round(math.fsum(there) / len(there), before, scores=scores)

        return read


async def group_rewards(
    protocol: _Group,
    judge: Judge,
    tasks: Sequence[Task],
    completions: Sequence[Completion],
    *,
    answer: Callable[[Completion], str] = lambda completion: completion.text,
    **slots: Callable[[Task], Slot],
) -> list[float | Unscored]:
    """The scores of a batch of completions, each within the group of its task: the body of a batch reward::

        @reward(exempt={"batch": "each is compared with the others of its group"})
        async def better(tasks, completions, judge):
            return await group_rewards(RANK, judge, tasks, completions, question=lambda task: task.inputs["question"])

    A group without a verdict is unscored, with the reason; so is a completion that the judge left out.
    """
    groups: dict[str, list[int]] = {}
    for place, task in enumerate(tasks):
        groups.setdefault(task.id, []).append(place)

    def ask_group(places: Sequence[int]) -> Any:
        task = tasks[places[0]]
        given = {name: fill(task) for name, fill in slots.items()}
        return protocol(judge, task=task, images=task.images, answers=[answer(completions[i]) for i in places], **given)

    found = await together(*(ask_group(places) for places in groups.values()))
    rewards: list[float | Unscored] = [Unscored("not judged")] * len(tasks)
    for places, standing in zip(groups.values(), found, strict=True):
        for at, place in enumerate(places):
            if isinstance(standing, JudgeError):
                rewards[place] = Unscored(f"no verdict: {standing}")
            elif (score := standing.scores[at]) is None:
                rewards[place] = Unscored(f"{protocol.template.file}: the judge left this answer out")
            else:
                rewards[place] = score
    return rewards


def _order(members: Sequence[str], seed: int, turn: int) -> list[int]:
    """The places of the members in the order shown, which follows from the texts, the seed and the turn."""
    digest = hashlib.sha256("\0".join([str(seed), str(turn), *members]).encode("utf-8", "surrogatepass"))
    order = list(range(len(members)))
    random.Random(digest.digest()).shuffle(order)
    return order


def _spread(found: Standing, members: Sequence[str], answers: Sequence[str]) -> Standing:
    """From the distinct members to the caller's answers; trivial ones get 0."""
    place = {text: at for at, text in enumerate(members)}

    def whole(scores: Scores) -> Scores:
        return tuple(scores[place[text]] if text in place else 0.0 for text in answers)

    made = _standing(whole(found.scores), found.rationale, tuple(whole(each) for each in found.rounds))
    return replace(made, votes=found.votes, spread=found.spread)


def _standing(scores: Scores, rationale: str, rounds: tuple[Scores, ...]) -> Standing:
    there = [score for score in scores if score is not None]
    return Standing(math.fsum(there) / len(there) if there else 0.5, rationale, scores=scores, rounds=rounds)


def _mean_or_none(values: Sequence[float | None]) -> float | None:
    there = [value for value in values if value is not None]
    return math.fsum(there) / len(there) if there else None


def _reasons(rationale: bool) -> str:
    return "Give your reasons first, in a few sentences. End" if rationale else "Reply"
