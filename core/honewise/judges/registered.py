"""A reward that asks with a template by its name: what ``register_judges`` registered, chosen by a recipe.

::

    rubric:
      rewards:
        judged: {weight: 0.5, options: {template: manners/polite}}
"""

from __future__ import annotations

import json
from typing import Any

from honewise.contracts import Completion, Judge, JudgeTemplate, Score, Task, Unscored, Verdict, reward
from honewise.errors import UserError
from honewise.host import get_host
from honewise.templates import slots_in_order

from .prompt import Slot, template_text
from .protocols.base import JudgeProtocol
from .protocols.segments import SegmentLabels
from .results import Labelled, Polled, Sheet
from .trivial import why_trivial

__all__ = ["judged"]

_ANSWERS = ("answer", "completion", "response")
_QUESTIONS = ("question", "prompt", "instruction")


@reward(
    bounds=(-1.0, 1.0),
    exempt={"gold": "the judge decides what is best", "empty": "the judge decides what is worst"},
)
async def judged(task: Task, completion: Completion, judge: Judge, *, template: str) -> Score | Unscored:
    """The verdict about one answer by a registered template or protocol, ``entry-point/name``.

    Placeholders are filled by their names: ``answer``, ``completion`` or ``response`` with the domain's piece
    ``answer``, else the answer it read where that is text, else the whole text (``completion`` always); ``question``,
    ``prompt`` or ``instruction`` with the task's input of that name, else the last message of the prompt; any other one
    with the task's input or reference of that name. One that is not there leaves the completion unscored.
    """
    found = get_host().judge(template)
    asking: JudgeProtocol[Any] | None = None if isinstance(found, JudgeTemplate) else found
    wanted = slots_in_order(template_text(found)) if asking is None else asking.slots
    if {"first", "second"} <= set(wanted) or "answers" in wanted:
        raise UserError(f"judge {template!r} compares answers; the reward 'judged' has one at a time")
    slots: dict[str, Slot] = {}
    for name in wanted:
        value = _fill(name, task, completion)
        if isinstance(value, Unscored):
            return value
        slots[name] = value
    if asking is None:
        return await _plain(found, judge, task, slots)
    given: dict[str, Any] = dict(slots)
    if isinstance(asking, SegmentLabels):
        given["answer"] = completion.pieces.get("answer") or completion
    return _score(await asking(judge, task=task, images=task.images, **given))


async def _plain(template: JudgeTemplate, judge: Judge, task: Task, slots: dict[str, Slot]) -> Score:
    answers = [text for name in _ANSWERS if isinstance(text := slots.get(name), str)]
    prompts = [text for name in _QUESTIONS if isinstance(text := slots.get(name), str)]
    why = why_trivial(answers[0], prompts=prompts, judge_prompts=[template_text(template)]) if answers else ""
    if why:
        return Score(0.0, feedback=f"trivial: {why}")
    return _score(await judge(template, images=task.images, **slots))


def _score(verdict: Verdict) -> Score:
    """A verdict as a reward returns it, with what it was made of in the log."""
    if isinstance(verdict, Labelled):
        return verdict.score()
    parts: dict[str, float] = {}
    if isinstance(verdict, Sheet):
        parts |= {name: part for name, part in verdict.parts.items() if part is not None}
    if isinstance(verdict, Polled):
        parts |= {f"judge {name}": value for name, value in verdict.votes.items()}
    return Score(verdict.value, parts=parts, feedback=" ".join(verdict.rationale.split())[:500])


def _fill(name: str, task: Task, completion: Completion) -> Slot | Unscored:
    """What a placeholder stands for."""
    if name in _ANSWERS:
        piece = completion.pieces.get("answer")
        said = piece.text if piece is not None else completion.answer
        return said if isinstance(said, str) and name != "completion" else completion.text
    for values in (task.inputs, task.reference):
        if values.get(name) is not None:
            return _text(values[name])
    if name in _QUESTIONS and task.prompt:
        return _text(task.prompt[-1]["content"])
    return Unscored(f"the template has a placeholder {name!r}, and the task has no input or reference of that name")


def _text(value: Any) -> Slot:
    if isinstance(value, str):
        return value
    if isinstance(value, list | tuple) and value and all(isinstance(each, str) for each in value):
        return list(value)
    return json.dumps(value, ensure_ascii=False, indent=1, default=str)
