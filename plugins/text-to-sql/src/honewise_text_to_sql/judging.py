"""The judge of queries that did not match: its template and the reader of its reply."""

from __future__ import annotations

import re

from honewise import Completion, Judge, JudgeTemplate, Task, Verdict, reward

__all__ = ["NEAR_MATCH", "judge_reward", "read_verdict"]

_SCALE = 2.0
_LINE = re.compile(
    r"^[ \t>*_`#-]*score[ \t*_`:=]*(-?\d+(?:\.\d+)?)(?: *(?:/|out of) *2(?:\.0+)?)?[ \t*_`.]*$",
    re.IGNORECASE | re.MULTILINE,
)
_ALONE = re.compile(r"\s*(-?\d+(?:\.\d+)?)\s*")


def read_verdict(reply: str) -> Verdict:
    """The last ``Score: n`` line, or a reply that is nothing but a number; 0 to 2 becomes 0 to 1.

    Raises ``ValueError`` where there is no such line or the number is off the scale.

    >>> read_verdict("Misses one condition.\\nScore: 1.5").value
    0.75
    """
    lines = _LINE.findall(reply)
    alone = _ALONE.fullmatch(reply)
    if not lines and not alone:
        raise ValueError("the reply has no line 'Score: <number>'")
    number = float(lines[-1]) if lines else float(alone[1]) if alone else 0.0
    if not 0.0 <= number <= _SCALE:
        raise ValueError(f"the score {number:g} is not between 0 and {_SCALE:g}")
    return Verdict(number / _SCALE, rationale=reply[: reply.lower().rfind("score")].strip() if lines else "")


NEAR_MATCH = JudgeTemplate("judges/near_match.md", parse=read_verdict)


@reward(name="judge", cost="judge", deadline=60.0, exempt={"gold": "asked only where the execution did not match"})
async def judge_reward(task: Task, completion: Completion, judge: Judge) -> float:
    """How near a query that did not match came, by a language model: 0 to 1 (its scale of 0 to 2, halved)."""
    if completion.answer is None:
        return 0.0
    verdict = await judge(
        NEAR_MATCH,
        question=task.inputs["question"],
        hint=task.inputs["hint"],
        schema=task.inputs["schema"],
        gold="\n".join(task.reference["sql"]),
        predicted=completion.answer,
    )
    return verdict.value
