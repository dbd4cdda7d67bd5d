"""A second model that resolves questions on which no answer has a majority, as in Gaokerena's evaluation."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

from honewise import Completion, Judge, JudgeError, JudgeTemplate, Task, Verdict
from honewise_medical_mcq.metrics import majority_of
from honewise_medical_mcq.prompts import listed_options

__all__ = ["VERIFY", "read_choice", "resolve"]

_LINE = re.compile(r"^[ \t>*_`#-]*choice[ \t*_`:=]*(\d{1,3})[ \t*_`.]*$", re.IGNORECASE | re.MULTILINE)
_LONGEST = 4000


def read_choice(reply: str) -> Verdict:
    """The number of the last ``Choice: n`` line. Raises ``ValueError`` where there is none."""
    found = _LINE.findall(reply)
    if not found:
        raise ValueError("the reply has no line 'Choice: <number>'")
    return Verdict(float(found[-1]))


VERIFY = JudgeTemplate("judges/verify.md", parse=read_choice, package="honewise_medical_mcq")


async def resolve(
    task: Task, completions: Sequence[Completion], verifier: Judge, *, quorum: int | None = None
) -> tuple[str | None, bool]:
    """The answer of several completions to one question, and whether the verifier was asked for it.

    The majority, where there is one; else what the verifier takes among the different answers that were given, each
    shown by the longest reasoning for it, the most frequent first. Nothing where no answer was given, the verifier has
    none, or it names a number that is not on the list.
    """
    answers = [completion.answer for completion in completions]
    agreed = majority_of(answers, quorum=quorum)
    given = [label for label, _ in Counter(answer for answer in answers if answer is not None).most_common()]
    if agreed is not None or not given:
        return agreed, False
    shown = []
    for number, label in enumerate(given, start=1):
        text = max((each.text for each in completions if each.answer == label), key=len)
        shown.append(f"{number}. Option {label}\n{text[-_LONGEST:]}")
    try:
        verdict = await verifier(
            VERIFY,
            question=str(task.inputs["question"]),
            options=listed_options(task),
            candidates="\n\n".join(shown),
        )
    except JudgeError:
        return None, True
    number = round(verdict.value)
    return (given[number - 1] if 1 <= number <= len(given) else None), True
