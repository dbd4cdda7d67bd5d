"""What all protocols have in common: the template with its form, the guard, the context, several judges.

::

    CLEAR = Pointwise("clear.md", package=__name__)                         # a file with {{question}} and {{answer}}

    @reward
    async def clear(task: Task, completion: Completion, judge: Judge) -> float:
        return (await CLEAR(judge, task=task, question=task.inputs["q"], answer=completion.text)).value
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, Generic, TypeVar

from honewise.contracts import Judge, JudgeTemplate, Task, Verdict
from honewise.errors import JudgeError
from honewise.judges.context import Provider, gather
from honewise.judges.prompt import Prompt, Slot, compose, template_text
from honewise.judges.results import Polled
from honewise.judges.trivial import why_trivial
from honewise.judges.voting import Vote
from honewise.templates import slots_in_order

__all__ = ["JudgeProtocol", "joined", "polled"]

R = TypeVar("R", bound=Verdict)

_QUESTIONS = ("question", "prompt")
_REFERENCES = ("reference", "gold")


class JudgeProtocol(Generic[R]):
    """One way of asking, with its template.

    Args:
        file: a text file with ``{{slots}}``; the protocol adds the form of the reply below it.
        package: where the file stands: a package, or any module of it (``__name__`` will do).
        parse: the reader of a reply.
        form: how to reply, in our words.
        context: slots that are not given by the caller but provided; see ``honewise.judges.context``.
        guard: whether answers that are trivial (``honewise.judges.why_trivial``) get the least without a call.

    ``await protocol(judge, task=..., images=..., slot=text, ...)`` returns a verdict. Where ``judge`` is a panel, each
    of its members is asked by itself and the results are put to the vote.

    Raises ``JudgeError`` where there is no verdict or a context is missing, which scoring makes unscored; and
    ``UserError`` where slots and template do not fit.
    """

    answers: ClassVar[tuple[str, ...]] = ("answer",)
    """Slots that hold what the policy wrote."""

    def __init__(
        self,
        file: str,
        *,
        package: str,
        parse: Callable[[str], Verdict],
        form: str,
        context: Mapping[str, Provider] | None = None,
        guard: bool = True,
    ) -> None:
        self.template = JudgeTemplate(file, parse, package, form=form)
        self.context = dict(context or {})
        self.guard = guard

    @property
    def templates(self) -> tuple[JudgeTemplate, ...]:
        """All templates that it asks with, for ``Domain.judges``."""
        return (self.template,)

    @property
    def slots(self) -> tuple[str, ...]:
        """What the caller gives: the placeholders that no context fills."""
        return tuple(name for name in slots_in_order(template_text(self.template)) if name not in self.context)

    def render(self, **slots: Slot) -> Prompt:
        """The prompt of its question."""
        return compose(self.template, slots)

    def parse(self, reply: str) -> Verdict:
        """What a reply says. Raises ``ValueError`` where it says nothing usable."""
        return self.template.parse(reply)

    async def __call__(
        self, judge: Judge, /, *, task: Task | None = None, images: Sequence[str] = (), **slots: Slot
    ) -> R:
        settled = self.settled(task, images, slots)
        if settled is not None:
            return settled
        return await self.put(judge, task, images, slots)

    async def put(self, judge: Judge, task: Task | None, images: Sequence[str], slots: Mapping[str, Slot]) -> R:
        """Ask: one judge, or each of several, whose results are combined."""

        async def one(member: Judge) -> R:
            given = await gather(self.context, slots, task=task, judge=member, images=images) if self.context else {}
            return await self.asked(member, images, {**slots, **given})

        poll: Any = getattr(judge, "poll", None)
        if poll is None:
            return await one(judge)
        vote: Vote = judge.vote  # type: ignore[attr-defined]
        return self.combined(await poll(one), vote)

    async def asked(self, judge: Judge, images: Sequence[str], slots: Mapping[str, Slot]) -> R:
        """The result of asking one judge, every slot at hand."""
        raise NotImplementedError

    def least(self, why: str) -> R:
        """The result for an answer that is trivial."""
        raise NotImplementedError

    def combined(self, results: Mapping[str, R], vote: Vote) -> R:
        """One result of those of several judges."""
        raise NotImplementedError

    def settled(self, task: Task | None, images: Sequence[str], slots: Mapping[str, Slot]) -> R | None:  # noqa: ARG002
        """The result that is known without a call, if there is one."""
        for name in self.answers if self.guard else ():
            why = self.trivial(task, slots, slots.get(name))
            if why:
                return self.least(why)
        return None

    def trivial(self, task: Task | None, slots: Mapping[str, Slot], answer: Slot | None) -> str:
        """Why an answer is trivial, or nothing."""
        if not isinstance(answer, str):
            return ""
        prompts = [text for name in _QUESTIONS if isinstance(text := slots.get(name), str)]
        prompts += [text for message in (task.prompt if task else ()) if isinstance(text := message["content"], str)]
        references = [text for name in _REFERENCES if isinstance(text := slots.get(name), str)]
        told = [template_text(self.template), self.template.form]
        return why_trivial(answer, prompts=prompts, judge_prompts=told, reference=references[0] if references else None)


def polled(results: Mapping[str, Verdict], vote: Vote) -> Polled:
    """The vote on verdicts about one answer."""
    values = {name: result.value for name, result in results.items()}
    decided = vote.decide(values)
    certain = math.fsum(result.confidence for result in results.values()) / len(results)
    return Polled(decided, joined(results), certain, votes=values, spread=max(values.values()) - min(values.values()))


def joined(results: Mapping[str, Verdict]) -> str:
    """The rationales of several judges."""
    return "\n\n".join(f"{name}: {result.rationale}" for name, result in results.items() if result.rationale)


def needed(found: Sequence[Any]) -> list[Any]:
    """All answers, or the first error among them."""
    for each in found:
        if isinstance(each, JudgeError):
            raise each
    return list(found)
