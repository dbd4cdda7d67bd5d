"""The judges: one rates the steps of a solution, one places it among solutions that people have ranked."""

from __future__ import annotations

import re

from honewise import Completion, Judge, JudgeTemplate, Task, Verdict, reward

from .prompts import answer_text

__all__ = ["RANKING", "STEPS", "ranking", "read_place", "read_steps", "reasoning_score"]

_STEP = re.compile(
    r"^[ \t>*_`#-]*step[ \t]+\d{1,3}[ \t*_`]*:[ \t*_`]*(right|partly|wrong)\b", re.IGNORECASE | re.MULTILINE
)
_NONE = re.compile(r"^[ \t>*_`#-]*no steps[ \t*_`.]*$", re.IGNORECASE | re.MULTILINE)
_PLACE = re.compile(r"^[ \t>*_`#-]*place[ \t*_`:=]*([1-5])[ \t*_`.]*$", re.IGNORECASE | re.MULTILINE)
_WORTH = {"right": 1.0, "partly": 0.5, "wrong": 0.0}


def read_steps(reply: str) -> Verdict:
    """The mean over lines ``Step n: right``, ``partly`` (a half) or ``wrong``; ``No steps`` is 0.

    Raises ``ValueError`` where there is no such line.

    >>> read_steps("Step 1: right\\nStep 2: wrong, it drops the half").value
    0.5
    """
    said = [word.lower() for word in _STEP.findall(reply)]
    if not said and not _NONE.search(reply):
        raise ValueError("the reply has no line 'Step n: right', 'partly' or 'wrong', nor 'No steps'")
    return Verdict(sum(_WORTH[word] for word in said) / len(said) if said else 0.0, rationale=reply.strip())


def read_place(reply: str) -> Verdict:
    """The last line ``Place: n``, from 1 (best, worth 1) to 5 (worth 0).

    >>> read_place("As good as the second one.\\nPlace: 2").value
    0.75
    """
    places = _PLACE.findall(reply)
    if not places:
        raise ValueError("the reply has no line 'Place: <1 to 5>'")
    return Verdict((5 - int(places[-1])) / 4, rationale=reply[: reply.lower().rfind("place")].strip())


STEPS = JudgeTemplate("judges/steps.md", parse=read_steps)
RANKING = JudgeTemplate("judges/ranking.md", parse=read_place)


def _slots(task: Task, completion: Completion) -> dict[str, str]:
    answers = ", ".join(answer_text(each) for each in task.reference.get("answers") or ())
    return {
        "question": str(task.inputs.get("question") or ""),
        "answer": answers or "(not known)",
        "solution": str(task.reference.get("solution") or "") or "(not known)",
        "reply": completion.text,
    }


@reward(name="reasoning", cost="judge", deadline=60.0)
async def reasoning_score(task: Task, completion: Completion, judge: Judge) -> float:
    """The reasoning score, as we define it: the mean over the steps of 1 (right), 0.5 (partly) and 0 (wrong), by a
    judge.
    """
    if not completion.text.strip():
        return 0.0
    return (await judge(STEPS, **_slots(task, completion))).value


@reward(name="ranking", cost="judge", deadline=60.0)
async def ranking(task: Task, completion: Completion, judge: Judge) -> float:
    """The place of a reply among five solutions that people have ranked: 1 for the best, 0 for the worst, by a
    judge.
    """
    if not completion.text.strip():
        return 0.0
    return (await judge(RANKING, **_slots(task, completion))).value
