"""Judging an answer by what came of it: the judge sees the outcome, simulated or real, first (RLHS, 2501.08617).

Foresight rewards what looks good; an answer that inflates itself looks better than it is until its outcome is seen.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

from honewise import templates
from honewise.contracts import Judge, JudgeTemplate, Task, Unscored, Verdict
from honewise.errors import BudgetExceeded, JudgeError, UserError
from honewise.judges.asking import ask, single, together
from honewise.judges.context import call_by_name, free_text, gather
from honewise.judges.prompt import Slot
from honewise.judges.voting import Vote

from .base import JudgeProtocol, needed
from .pairwise import Pairwise

__all__ = ["Hindsight", "Outcome", "SimulatedOutcome"]

R = TypeVar("R", bound=Verdict)

_UNSEEN = "(It is not known yet what came of it.)"
_FORM = (
    "Describe in a few sentences what happens next to somebody who acts on this answer. Work out the consequences from "
    "what is true, not from what the answer says about itself: its claims may be wrong. Do not judge the answer."
)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of acting on an answer."""

    text: str
    alternatives: Sequence[str] = ()
    """What would have come of the other options that there were."""


class Hindsight(JudgeProtocol[R]):
    """A protocol whose judge sees outcomes.

    The inner protocol's template has a slot ``{{outcome}}`` (in pairs ``{{first_outcome}}`` and ``{{second_outcome}}``)
    and for ``full`` ``{{alternatives}}`` (``first_alternatives``, ``second_alternatives``) where it has use for them.

    Args:
        protocol: ``Pointwise``, ``Pairwise`` or another one with ``{{answer}}``.
        outcome: a function that takes by name any of ``answer``, ``task``, ``judge``, ``rollout`` and the slots, and
            returns an ``Outcome``, a text, or ``Unscored``: the executed result of code or a query, or a
            ``SimulatedOutcome``.
        view: ``none``: foresight, no outcome is made or shown; ``partial``: the outcome of the answer that is judged;
            ``full``: what the other options would have led to as well.
        rollouts: outcomes for each answer, where they differ; they are shown as a list.

    With a perfect forecaster as judge, hindsight and foresight agree. Calls: those of the protocol and of the outcomes.
    Unscored: an outcome that cannot be had.
    """

    def __init__(
        self,
        protocol: JudgeProtocol[R],
        outcome: Callable[..., Any],
        *,
        view: Literal["none", "partial", "full"] = "partial",
        rollouts: int = 1,
    ) -> None:
        self.protocol, self.outcome, self.view, self.rollouts = protocol, outcome, view, rollouts
        self.template, self.context, self.guard = protocol.template, protocol.context, protocol.guard
        text = templates.load(templates.home_of(self.template), self.template.file)
        self._wanted = templates.slots_of(text)
        self._prefixes = ("first_", "second_") if isinstance(protocol, Pairwise) else ("",)
        missing = [f"{prefix}outcome" for prefix in self._prefixes if f"{prefix}outcome" not in self._wanted]
        if missing:
            raise UserError(f"{self.template.file} has no slot {missing[0]!r}, where the outcome would be shown")

    @property
    def templates(self) -> tuple[JudgeTemplate, ...]:
        simulator = (self.outcome.template,) if isinstance(self.outcome, SimulatedOutcome) else ()
        return (*self.protocol.templates, *simulator)

    @property
    def slots(self) -> tuple[str, ...]:
        seen = {f"{prefix}{name}" for prefix in self._prefixes for name in ("outcome", "alternatives")}
        return tuple(name for name in self.protocol.slots if name not in seen)

    async def put(self, judge: Judge, task: Task | None, images: Sequence[str], slots: Mapping[str, Slot]) -> R:
        async def one(member: Judge) -> R:
            given = await gather(self.context, slots, task=task, judge=member, images=images) if self.context else {}
            seen = await self._seen(member, task, {**slots, **given})
            return await self.protocol.asked(member, images, {**slots, **given, **seen})

        poll: Any = getattr(judge, "poll", None)
        if poll is None:
            return await one(judge)
        vote: Vote = judge.vote  # type: ignore[attr-defined]
        return self.combined(await poll(one), vote)

    def least(self, why: str) -> R:
        return self.protocol.least(why)

    def combined(self, results: Mapping[str, R], vote: Vote) -> R:
        return self.protocol.combined(results, vote)

    def settled(self, task: Task | None, images: Sequence[str], slots: Mapping[str, Slot]) -> R | None:
        return self.protocol.settled(task, images, slots)

    async def _seen(self, judge: Judge, task: Task | None, slots: Mapping[str, Slot]) -> dict[str, Slot]:
        """What the judge sees of outcomes."""
        if self.view == "none":
            hidden = {f"{prefix}{name}": _UNSEEN for prefix in self._prefixes for name in ("outcome", "alternatives")}
            return {name: text for name, text in hidden.items() if name in self._wanted}
        seen: dict[str, Slot] = {}
        for prefix in self._prefixes:
            answer = slots[prefix.removesuffix("_") or "answer"]
            turns = (self._outcome(judge, task, answer, turn, slots) for turn in range(self.rollouts))
            found: list[Outcome] = needed(await together(*turns))
            texts = [each.text for each in found]
            seen[f"{prefix}outcome"] = texts if self.rollouts > 1 else texts[0]
            if f"{prefix}alternatives" in self._wanted:
                others = list(dict.fromkeys(text for each in found for text in each.alternatives))
                seen[f"{prefix}alternatives"] = others if self.view == "full" else _UNSEEN
        return seen

    async def _outcome(
        self, judge: Judge, task: Task | None, answer: Slot, rollout: int, slots: Mapping[str, Slot]
    ) -> Outcome:
        values = {**slots, "answer": answer, "task": task, "judge": judge, "rollout": rollout}
        try:
            found = await call_by_name(self.outcome, values, "an outcome")
        except (JudgeError, UserError, BudgetExceeded):
            raise
        except Exception as error:
            raise JudgeError(f"there is no outcome: raised {type(error).__name__}: {error}") from error
        if isinstance(found, Outcome):
            return found
        if not isinstance(found, str):
            why = found.reason if isinstance(found, Unscored) else f"given: {type(found).__name__}"
            raise JudgeError(f"there is no outcome: {why}")
        return Outcome(found)


class SimulatedOutcome:
    """An outcome that the judge's model imagines, as the world and not as the judge.

    Args:
        file, package: a template with ``{{answer}}`` and whatever slots of the question it needs.
        truth: what is known to be true, from the task, for a slot ``{{truth}}``; left out, the model goes by what it
            knows. The policy never sees it.
        temperature: of each rollout.

    The answer's own claims are no facts: the form says so, and the template should not say otherwise. Calls: 1 for each
    answer and rollout.
    """

    def __init__(
        self, file: str, *, package: str, truth: Callable[[Task], str] | None = None, temperature: float = 1.0
    ) -> None:
        self.template = JudgeTemplate(file, free_text, package, form=_FORM)
        self.truth, self.temperature = truth, temperature

    async def __call__(self, judge: Judge, task: Task | None = None, rollout: int = 0, **slots: Any) -> Outcome:
        one = single(judge, "a simulated outcome")
        wanted = templates.slots_of(templates.load(templates.home_of(self.template), self.template.file))
        if self.truth is not None:
            if task is None:
                raise JudgeError("there is no outcome: no task was given, whose truth the simulation needs")
            slots = {**slots, "truth": self.truth(task)}
        given = {name: value for name, value in slots.items() if name in wanted}
        answer = await ask(one, self.template, given, sample=rollout, temperature=self.temperature)
        return Outcome(answer.verdict.rationale)
