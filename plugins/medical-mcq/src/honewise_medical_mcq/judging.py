"""Rewards that ask a judge: the quality of the reasoning, and whether it rests on the text that was given."""

from __future__ import annotations

import re

from honewise import Completion, Judge, JudgeTemplate, Reward, Score, Task, Verdict

from .locales import locale_text
from .prompts import listed_options
from .tasks import gold_label, label_text

__all__ = ["GROUNDING", "QUALITY", "JudgedRewards", "read_score", "reference_text"]

_SCALE = 10.0
_LINE = re.compile(
    r"^[ \t>*_`#-]*score[ \t*_`:=]*(-?\d+(?:\.\d+)?)(?: *(?:/|out of) *10(?:\.0+)?)?[ \t*_`.]*$",
    re.IGNORECASE | re.MULTILINE,
)


def read_score(reply: str) -> Verdict:
    """The last ``Score: n`` line; 0 to 10 becomes 0 to 1.

    Raises ``ValueError`` where there is no such line or the number is off the scale.

    >>> read_score("One gap.\\nScore: 7.5").value
    0.75
    """
    found = list(_LINE.finditer(reply))
    if not found:
        raise ValueError("the reply has no line 'Score: <number>'")
    number = float(found[-1][1])
    if not 0.0 <= number <= _SCALE:
        raise ValueError(f"the score {number:g} is not between 0 and {_SCALE:g}")
    return Verdict(number / _SCALE, rationale=reply[: found[-1].start()].strip())


QUALITY = JudgeTemplate("judges/quality.md", parse=read_score)
GROUNDING = JudgeTemplate("judges/grounding.md", parse=read_score)


def reference_text(task: Task) -> str:
    """The right option with its text, and the explanation where the data has one; for judges and teachers alone."""
    right = gold_label(task)
    if right is None:
        return "(not known)"
    text = label_text(task, right)
    named = right if text == right else f"{right}. {text}"
    explanation = str(task.reference.get("explanation") or "")
    return f"{named}\n{explanation}" if explanation else named


class JudgedRewards:
    """The two judged rewards, for readers of one locale."""

    def __init__(self, locale: str) -> None:
        self._locale = locale_text(locale)

    async def quality(self, task: Task, completion: Completion, judge: Judge) -> float:
        """How good the reasoning is, by a judge that knows the right option: 0 to 1. Nothing to grade is 0, unasked."""
        reasoning = completion.pieces.get("reasoning")
        if reasoning is None or completion.answer is None or not reasoning.text.strip():
            return 0.0
        verdict = await judge(
            QUALITY,
            question=str(task.inputs["question"]),
            options=listed_options(task),
            reference=reference_text(task),
            reasoning=reasoning.text.strip(),
            chosen=str(completion.answer),
            locale=self._locale,
        )
        return verdict.value

    async def grounding(self, task: Task, completion: Completion, judge: Judge) -> Score:
        """How far the reasoning rests on the task's text, by a judge that does not know the right option: 0 to 1.

        0, unasked, where there is nothing to check, and for every reply alike where the task has no text.
        """
        reasoning, context = completion.pieces.get("reasoning"), str(task.inputs.get("context") or "")
        if not context:
            return Score(feedback="the task has no text to rest on")
        if reasoning is None or completion.answer is None or not reasoning.text.strip():
            return Score(feedback="there is no reasoning to check")
        verdict = await judge(
            GROUNDING,
            context=context,
            question=str(task.inputs["question"]),
            reasoning=reasoning.text.strip(),
            chosen=str(completion.answer),
        )
        return Score(verdict.value, feedback=verdict.rationale[:200])

    def rewards(self) -> list[Reward]:
        """Both of them."""
        return [
            Reward(fn=self.quality, name="quality", cost="judge", deadline=60.0),
            Reward(fn=self.grounding, name="grounding", cost="judge", deadline=60.0),
        ]
