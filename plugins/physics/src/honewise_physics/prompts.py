"""How the policy is asked, and what a perfect reply looks like. The wording is our own."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from honewise import Message, Task

from .official import power_of_ten
from .tasks import LETTERS

__all__ = ["Form", "answer_text", "plain_text"]

_RULES = """\
You solve physics problems. Write every step of the calculation as an equation on a line of its own, with the numbers \
put in and the unit of the result, such as: F = 3 kg * 2 m/s^2 = 6 N."""

_FORM = """\
Work inside <reasoning></reasoning>. Then give the final answer alone inside <answer></answer>{answer}, in this form:

<reasoning>
your steps
</reasoning>
<answer>
your answer
</answer>"""

_KINDS: Mapping[str, str] = {
    "number": ": a number with its unit",
    "expression": ": an expression in the symbols of the problem",
    "equation": ": an equation in the symbols of the problem",
    "choice": ": the letter of the right option",
    "boolean": ": true or false",
    "interval": ": an interval such as [1 m, 2 m)",
    "text": "",
}


@dataclass(frozen=True, slots=True)
class Form:
    """What a reply must look like: ``style`` "full" or "compact", the latter for tiny models."""

    style: Literal["full", "compact"] = "full"

    @property
    def tags(self) -> tuple[str, ...]:
        """The tags that a reply must have, in this order, each once."""
        return ("answer",) if self.style == "compact" else ("reasoning", "answer")

    def prompt(self, task: Task) -> Sequence[Message]:
        """One user message; some models know no system role."""
        question = str(task.inputs.get("question") or "")
        options = "\n".join(f"{LETTERS[at]}. {text}" for at, text in enumerate(task.inputs.get("choices") or ()))
        unit = str(task.inputs.get("unit") or "")
        asked = f"Give the answer in {unit}." if unit else ""
        if self.style == "compact":
            parts = [question, options, asked]
            return [{"role": "user", "content": "\n".join(part for part in parts if part)}]
        parts = [_RULES, f"Problem: {question}", options, asked, _FORM.format(answer=self._wanted(task))]
        return [{"role": "user", "content": "\n\n".join(part for part in parts if part)}]

    def _wanted(self, task: Task) -> str:
        if task.inputs.get("choices"):
            several = (
                "the letters of all right options" if task.inputs.get("several") else "the letter of the right option"
            )
            return f": {several}"
        wanted = _KINDS.get(str(task.inputs.get("wants") or ""), "")
        return wanted + (", several of them between commas" if wanted and (task.inputs.get("count") or 1) > 1 else "")

    def gold(self, task: Task) -> str | None:
        """The worked solution, as far as the data has one, and the answer in the form that the prompt asks for."""
        answers = task.reference.get("answers") or ()
        if not answers:
            return None
        answer = ", ".join(answer_text(each) for each in answers)
        solution = str(task.reference.get("solution") or "")
        if self.style == "compact":
            return f"{_without_tags(solution)}<answer>{answer}</answer>"
        steps = _without_tags(solution) or "The answer follows from the data of the problem."
        return f"<reasoning>\n{steps}\n</reasoning>\n<answer>\n{answer}\n</answer>"


def _without_tags(text: str) -> str:
    return re.sub(r"</?(?:reasoning|answer)>", "", text, flags=re.IGNORECASE).strip()


def answer_text(answer: Mapping[str, Any]) -> str:
    """An answer of the data as a reply would write it; a power of ten in its unit goes to the number.

    >>> answer_text({"text": "4.8", "unit": "$10^6$ m"})
    '4.8 \\\\times 10^{6} m'
    """
    text, unit = str(answer.get("text") or ""), str(answer.get("unit") or "")
    power = power_of_ten(unit)
    if power is not None:
        unit = re.sub(r"\$? *10\^\{? *-?[0-9]{1,4} *\}?", " ", unit, count=1)
        text = f"{text} \\times 10^{{{power}}}"
    unit = unit.replace("$", " ").strip()
    return f"{text} {unit}" if unit else text


def plain_text(reply: str) -> str:
    """A reply without its tags, for measures that compare wording."""
    return re.sub(r"</?(?:reasoning|answer)>", " ", reply, flags=re.IGNORECASE)
